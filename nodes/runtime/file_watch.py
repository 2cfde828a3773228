"""Files that change while a node runs: read again when they have, and kept as they were when they are no good.

A node is told nothing and asks nobody: it looks at its files several times a second (a
system call each) and takes what is new. What cannot be used changes nothing; it is a
line in the log, and a warning in the node's status for as long as it lies there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.2

Stamps = tuple[tuple[int, int, int] | None, ...]
"""What tells one content of files from the next: inode, time of change and size of each; None: not there."""


def stamp_files(*paths: Path) -> Stamps:
    """Return what changes when one of the files does."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@dataclass(slots=True)
class _Watched:
    paths: tuple[Path, ...]
    reread: Callable[[], None]
    unusable: type[Exception]
    stamps: Stamps | None = None
    fault: str = ""


class FileWatch:
    """The files of one process. ``report`` is told of each fault as it is found."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._watched: list[_Watched] = []

    @property
    def faults(self) -> list[str]:
        """What lies there and cannot be used; what was read before goes on."""
        return [watched.fault for watched in self._watched if watched.fault]

    def add(self, reread: Callable[[], None], unusable: type[Exception], *paths: Path) -> None:
        """Call ``reread`` when one of ``paths`` has changed; it raises ``unusable`` if they are no good.

        The first look calls it as well: they may have changed since they were first read.
        """
        self._watched.append(_Watched(paths, reread, unusable))

    def look(self) -> None:
        """Read again what has changed since the last look."""
        for watched in self._watched:
            stamps = stamp_files(*watched.paths)
            if stamps == watched.stamps:
                continue
            # Before they are read: what changes meanwhile is seen by the next look.
            watched.stamps = stamps
            try:
                watched.reread()
                watched.fault = ""
            except watched.unusable as error:
                watched.fault = str(error)
                self._report(watched.fault)

    async def run(self) -> None:
        """Look several times a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()
