"""``python -m benchmarks``: each load on ours, then on the peers, in one run; prints a table in Markdown."""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.figures import Figures
from benchmarks.peer import Batch, LastAgent, TwoPhase
from benchmarks.peer_load import BooksNotClean, MakeWay, measure_peer
from benchmarks.servers import Server, ServersMissing, find_programs, prepare, two_servers
from benchmarks.table import BEGIN, END, Row, format_markdown, put_between_marks

_IN_FLIGHT = 4
_TWO_PHASE, _LAST_AGENT = "PostgreSQL, decision log", "PostgreSQL, last agent"
_BOTH: dict[str, MakeWay] = {_TWO_PHASE: TwoPhase, _LAST_AGENT: LastAgent}


class Load(NamedTuple):
    """The same load for both: the options of `cluster bench`, and the peers' ways with so many callers."""

    title: str
    options: tuple[str, ...]
    ways: dict[str, MakeWay]
    callers: int


class OursFailed(Exception):
    """`cluster bench` failed; the message has its words."""


def _batched(size: int) -> Load:
    way: MakeWay = partial(Batch, payments=size)
    options = ("--load", "batch", "--batch", str(size))
    return Load(f"{size:,} payments a message, {_IN_FLIGHT} in flight", options, {_TWO_PHASE: way}, _IN_FLIGHT)


LOADS = (
    Load("1 caller", ("--load", "one"), _BOTH, 1),
    Load("16 callers, one payment a call", ("--load", "unary", "--callers", "16"), _BOTH, 16),
    Load("64 callers, one payment a call", ("--load", "unary", "--callers", "64"), _BOTH, 64),
    Load("128 callers of the client library", ("--load", "callers", "--callers", "64"), _BOTH, 128),
    _batched(64),
    _batched(1024),
)


def measure_ours(load: Load, for_s: float, scratch: Path) -> dict[str, Any]:
    """Run `cluster bench`; return its document. Raises `OursFailed`."""
    command = [sys.executable, "-m", "orchestrator", "bench", *load.options]
    options = ["--for", f"{for_s:g}s", "--scratch", str(scratch), "-o", "json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OursFailed(f"cluster bench failed: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def measure_peers(load: Load, servers: tuple[Server, Server], for_s: float, log: Path) -> dict[str, Figures]:
    """Measure each way that the peers have for this load, one after another."""
    return {
        name: await measure_peer(servers, way, load.callers, for_s=for_s, log=log)
        for name, way in load.ways.items()
    }


def compare(for_s: float, rounds: int, scratch: Path) -> str:
    """Measure all loads, ours and the peers' in turn; return the table."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-peers-", dir=scratch) as folder,
        two_servers(scratch) as servers,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        for server in servers:
            runner.run(prepare(server))
        rows: list[Row] = []
        machine: dict[str, Any] = {}
        for load in LOADS:
            found = []
            for number in range(1, rounds + 1):
                _say(f"{load.title}: round {number} of {rounds}")
                document = measure_ours(load, for_s, scratch)
                machine = document["machine"]
                peers = runner.run(measure_peers(load, servers, for_s, Path(folder) / "decisions"))
                found.append(Row(load.title, Figures.read(document["loads"][0]), peers))
            rows.append(_median(found))
    return format_markdown(rows, _describe(machine, for_s, rounds))


def _median(rows: list[Row]) -> Row:
    """Return the figures of the middle round, each by its own rate."""
    names = rows[0].peers

    def middle(figures: Iterator[Figures]) -> Figures:
        return statistics.median_high(sorted(figures))

    return Row(
        rows[0].load,
        middle(row.ours for row in rows),
        {name: middle(row.peers[name] for row in rows) for name in names},
    )


def _describe(machine: dict[str, Any], for_s: float, rounds: int) -> str:
    version = subprocess.run(
        [find_programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return (
        f"{machine['cores']} cores, Python {machine['python']}, {version.stdout.strip()}, fsync of"
        f" {machine['fsync_ms']:.2f} ms; {rounds} x {for_s:g} s each, in turn; the callers on the same cores."
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=5.0, help="seconds for each measurement (5)")
    parser.add_argument("--rounds", type=int, default=1, help="how often; the median is shown (1)")
    parser.add_argument(
        "--scratch", type=Path, default=Path("/var/tmp"), help="where all lies meanwhile (/var/tmp)"
    )
    parser.add_argument("--into", type=Path, help=f"also put the table into this file, between {BEGIN} and {END}")
    flags = parser.parse_args()
    try:
        table = compare(flags.for_s, flags.rounds, flags.scratch)
    except (ServersMissing, OursFailed, BooksNotClean) as error:
        _say(f"error: {error}")
        return 1
    sys.stdout.write(table + "\n")
    if flags.into is not None:
        flags.into.write_text(put_between_marks(flags.into.read_text(), table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
