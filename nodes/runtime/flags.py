"""The command line and the life of a node's process, the same for every program.

Exit codes: 0 stopped on demand; 2 wrong flags; `EXIT_UNUSABLE` when starting again
would not help; `EXIT_LATER` when it will, once others have made way: have let the port go,
or made room on the disk; anything else is a crash.
"""

import argparse
import asyncio
import gc
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from nodes.core.names import is_address
from nodes.runtime.access import AccessRuleMissing
from nodes.runtime.complaints import complain
from nodes.runtime.database import DatabaseUnusable, is_disk_full
from nodes.runtime.lifeline import parse_descriptor
from nodes.runtime.ports import PortUnusable
from nodes.runtime.rotating_file import LogUnusable
from nodes.runtime.tls import CertificateUnusable, TlsFiles

EXIT_UNUSABLE = 78
EXIT_LATER = 75
EXIT_CRASHED = 70

_MENDABLE: tuple[type[Exception], ...] = (CertificateUnusable, DatabaseUnusable, LogUnusable, AccessRuleMissing)
_DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>ms|s|m)")
_DURATION_MIN_S = 0.001
_DURATION_MAX_S = 24 * 60 * 60.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def parse_duration(text: str) -> float:
    """Return the seconds of ``500ms``, ``2s`` or ``1m``; more than none and at most a day."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write it like 500ms, 2s or 1m")
    duration_s = float(match["number"]) * _SECONDS[match["unit"]]
    if not _DURATION_MIN_S <= duration_s <= _DURATION_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is out of bounds; write a duration of 1ms to 1440m")
    return duration_s


def parse_address(text: str) -> str:
    """Return an address host:port."""
    if not is_address(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port with a port of 1 to 65535")
    return text


def add_node_flags(parser: argparse.ArgumentParser) -> None:
    """Add what every node is started with."""
    parser.add_argument("--listen", type=parse_address, required=True, help="host:port to serve at")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, made if it is not there")
    parser.add_argument("--ca", type=Path, required=True, help="certificate of the cluster's authority (PEM)")
    parser.add_argument("--certificate", type=Path, required=True, help="this node's certificate (PEM)")
    parser.add_argument(
        "--key", type=Path, required=True, help="its private key (PEM), readable by its owner alone"
    )
    parser.add_argument("--revoked", type=Path, help="JSON file of whose certificates are worth nothing any more")
    parser.add_argument("--log", type=Path, required=True, help="file for JSON lines")
    parser.add_argument("--audit", type=Path, required=True, help="file for one JSON line on who did what")
    parser.add_argument("--instance", default="", help="what the starter calls this process; shown in its status")
    parser.add_argument(
        "--lifeline-fd", type=parse_descriptor, help="descriptor of a pipe; the node ends when it ends"
    )
    parser.add_argument(
        "--crash-points", type=Path, help="file of orders where to crash; for tests of clusters without real money"
    )


def tls_files(flags: argparse.Namespace) -> TlsFiles:
    """Return where the flags say that the certificate is."""
    return TlsFiles(flags.ca, flags.certificate, flags.key, flags.revoked)


def run_node(serve: Callable[[asyncio.Event], Awaitable[None]], *unusable: type[Exception]) -> int:
    """Run a node until SIGTERM or SIGINT sets the event that ``serve`` is given; return the exit code.

    Errors that a person can mend are one line on stderr: ``unusable`` are the
    program's own, beside those of certificate, database, log, port and a full disk.
    """
    _spare_the_collector()
    try:
        asyncio.run(_serve_until_told(serve))
    except PortUnusable as error:
        return _complain(error, EXIT_LATER)
    except Exception as error:
        if is_disk_full(error):
            return _complain(error, EXIT_LATER)
        if not isinstance(error, (*_MENDABLE, *unusable)):
            raise
        return _complain(error, EXIT_UNUSABLE)
    return 0


def _spare_the_collector() -> None:
    """Look for garbage in cycles seldom: payments make none, but so many objects that the search cost a sixth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


async def run_or_die(turns: Awaitable[None]) -> None:
    """Run a node's loop; if it fails, end the process at once, without a word to any peer.

    It no longer knows what is durable; the next start begins from the disk.
    """
    try:
        await turns
    except Exception as error:
        die_of(error)


def die_of(error: Exception) -> NoReturn:
    """End the process at once: nothing more is said, nothing more is written."""
    complain(f"fatal: {type(error).__name__}: {error}")
    os._exit(EXIT_LATER if is_disk_full(error) else EXIT_CRASHED)


async def _serve_until_told(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await serve(told)


def _complain(error: Exception, code: int) -> int:
    complain(f"error: {error}")
    return code
