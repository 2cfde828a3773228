"""The logs of several nodes as one stream: read, filtered, merged by time, followed.

``logs/<node>.log`` holds JSON lines with their time, ``ts``, in UTC; ``logs/<node>.stderr`` what
the process printed, which has no times and is dated by its file. Rotated files
(``.log.1``, the newest) are read as well.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TIME = re.compile(r'"(?:ts|time)": ?"([^"]+)"')
_ROTATED_MAX = 9


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one node. ``time`` is RFC 3339 in UTC, and so sorts as text."""

    time: str
    node: str
    text: str

    @property
    def fields(self) -> dict[str, Any]:
        """What the line says, as JSON; a line that is none is its own ``event``."""
        try:
            found = json.loads(self.text)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"event": self.text}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted; each is met by every line when empty."""

    since: str = ""
    pattern: re.Pattern[str] | None = None
    payment_id: str = ""

    def wants(self, line: LogLine) -> bool:
        """Tell whether the line is wanted."""
        return (
            line.time >= self.since
            and self.payment_id in line.text
            and (self.pattern is None or self.pattern.search(line.text) is not None)
        )


def read_last(logs: Path, nodes: Iterable[str], wanted: Filter, count: int) -> list[LogLine]:
    """Return the last ``count`` wanted lines of all these nodes together, oldest first."""
    lines: list[LogLine] = []
    for node in nodes:
        last: deque[LogLine] = deque(maxlen=count)
        for path in _files_of(logs, node):
            last.extend(line for line in _read(path, node) if wanted.wants(line))
        lines += last
    return sorted(lines, key=lambda line: line.time)[-count:] if count else []


class Tail:
    """Hands out what is appended to the nodes' logs from now on; survives their rotation."""

    def __init__(self, logs: Path, nodes: Iterable[str]) -> None:
        self._files = [(path, node) for node in nodes for path in _live_files(logs, node)]
        self._read_to = {path: _identity(path) for path, _ in self._files}

    def read_new(self, wanted: Filter) -> list[LogLine]:
        """Return the wanted lines that came since the last call, oldest first."""
        lines = [line for path, node in self._files for line in self._read_file(path, node) if wanted.wants(line)]
        return sorted(lines, key=lambda line: line.time)

    def _read_file(self, path: Path, node: str) -> Iterator[LogLine]:
        inode, size = _identity(path)
        known_inode, known_size = self._read_to[path]
        start = known_size if inode == known_inode and size >= known_size else 0
        if size == start:
            self._read_to[path] = (inode, size)
            return
        with path.open("rb") as file:
            file.seek(start)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_to[path] = (inode, start + len(whole) + len(newline))
        for text in whole.decode(errors="replace").splitlines():
            yield _date(text, node, path)


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def _live_files(logs: Path, node: str) -> list[Path]:
    return [logs / f"{node}.log", logs / f"{node}.stderr"]


def _files_of(logs: Path, node: str) -> list[Path]:
    rotated = [logs / f"{node}.log.{number}" for number in range(_ROTATED_MAX, 0, -1)]
    return [path for path in [*rotated, *_live_files(logs, node)] if path.exists()]


def _read(path: Path, node: str) -> Iterator[LogLine]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield _date(line.rstrip("\n"), node, path)


def _date(text: str, node: str, path: Path) -> LogLine:
    found = _TIME.search(text)
    return LogLine(found[1] if found else _format_time(path.stat().st_mtime), node, text)


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_since(text: str, now: datetime | None = None) -> str:
    """Return the moment ``text`` (``90s``, ``5m``, ``2h``, ``1d``, or RFC 3339) names; ValueError if none."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            raise ValueError(f"{text!r} is not a time; write 90s, 5m, 2h, 1d or 2026-01-31T10:00:00Z") from None
        return _format_time(moment.timestamp())
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    return _format_time(max(0.0, (now or datetime.now(UTC)).timestamp() - seconds))
