"""Crash points inside a commit: between what SQLite writes and what it syncs.

A commit appends to the write-ahead log and syncs it; a checkpoint copies pages of the
log into the database file and syncs that, before the log begins anew. SQLite does both
through a file system of its own (a VFS), and one that comes to crash points is put before
the real one: in a process that obeys orders to crash, and in no other.

Source: sqlite.org/vfs.html, sqlite.org/wal.html (Checkpointing).
"""

from pathlib import Path
from typing import Any

import apsw

from nodes.runtime.crash_points import obey, reach


def obey_at_files(path: Path | None) -> None:
    """Take orders from ``path``, as `obey` does, and come to the points of SQLite's files as well."""
    global _files  # noqa: PLW0603 - SQLite has one default, which must live as long as it is used
    obey(path)
    if path is not None and _files is None:
        _files = _CrashingFiles()


class _CrashingFiles(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("crashing", "", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return _Log("unix", name, flags)
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _Books("unix", name, flags)
        return apsw.VFSFile("unix", name, flags)


_files: _CrashingFiles | None = None


class _Log(apsw.VFSFile):
    """A write-ahead log."""

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        reach("store.commit.unsynced")
        super().xSync(flags)
        reach("store.commit.synced")


class _Books(apsw.VFSFile):
    """A database file: once it is there, written by checkpoints alone."""

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        reach("store.checkpoint.half-written")

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        reach("store.checkpoint.unsynced")
        super().xSync(flags)
        reach("store.checkpoint.synced")
