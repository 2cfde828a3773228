"""Who did what at a node, and who was denied what: JSON lines that are never taken back.

A line names the certificate that called, with its thumbprint, the user behind it, and what was done:
a login, a logout, a bank's new address, something settled by hand; or what was denied. At the
gateway there is one for each payment as well (`nodes.gateway.audit_log`).

No line is synced, since none is a promise to anybody. A file that is full is set aside under its
time, and kept. Denials alone are bounded in number, since strangers can make any
amount of them: those left out are counted in the next line.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from nodes.runtime.access import Caller
from nodes.runtime.call_log import name_peer
from nodes.runtime.event_log import shorten
from nodes.runtime.rotating_file import RotatingFile
from nodes.runtime.server_calls import Denial

_FILE_BYTES_MAX = 64 * 1024 * 1024
_DENIALS_AT_ONCE = 1000
_DENIALS_EACH_S = 50.0


class AuditLog:
    """The open file. For one event loop; raises `nodes.runtime.rotating_file.LogUnusable` when it is made."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file = RotatingFile(path, _FILE_BYTES_MAX, keeps_all=True)
        self.clock = clock
        self._lines: list[str] = []
        self._denials_left = float(_DENIALS_AT_ONCE)
        self._denials_left_out = 0
        self._last_denial_at = clock()

    def note(self, caller: Caller, did: str, **more: Any) -> None:
        """Note anything else that was done, at once; ``more`` may be of strangers' making."""
        known = f'{{"at":"{format_time(self.clock())}",{describe_caller(caller)},"did":{json.dumps(did)}'
        self._lines.append(f"{known}{_describe_more(more)}}}\n")
        self.flush()

    def deny(self, denial: Denial) -> None:
        """Note that something was denied."""
        now = self.clock()
        earned = max(0.0, now - self._last_denial_at) * _DENIALS_EACH_S
        self._last_denial_at = now
        self._denials_left = min(_DENIALS_AT_ONCE, self._denials_left + earned)
        if self._denials_left < 1:
            self._denials_left_out += 1
            return
        self._denials_left -= 1
        line = {
            "at": format_time(now),
            "certificate": denial.peer,
            "thumbprint": denial.thumbprint,
            "did": "denied",
            "rpc": denial.rpc.rpartition("/")[2],
            "code": denial.code,
            "details": denial.details,
            **denial.about,
        }
        if self._denials_left_out:
            line["left_out_before"] = self._denials_left_out
            self._denials_left_out = 0
        self.put([json.dumps(line) + "\n"])

    def flush(self) -> None:
        """Hand what has gathered to the system."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._file.write("".join(lines).encode())

    def close(self) -> None:
        """Hand over the rest, and close the file."""
        self.flush()
        self._file.close()

    @property
    def has_lines(self) -> bool:
        """Tell whether some wait to be handed over."""
        return bool(self._lines)

    def put(self, lines: Iterable[str]) -> None:
        """Gather whole lines, which go out together when this round of the loop is over."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.extend(lines)


@lru_cache(maxsize=4096)
def describe_caller(caller: Caller) -> str:
    """Return the members that say who called, as JSON."""
    known = {"certificate": name_peer(caller.identity), "thumbprint": caller.thumbprint}
    if caller.login is not None:
        known |= {"user": caller.login.user, "login": caller.login.token_id}
    return json.dumps(known, separators=(",", ":"))[1:-1]


def _describe_more(more: dict[str, Any]) -> str:
    shown = {name: shorten(value) if isinstance(value, str) else value for name, value in more.items()}
    return "," + json.dumps(shown, separators=(",", ":"))[1:-1] if shown else ""


def format_time(at_s: float) -> str:
    """Write a time as the lines do."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
