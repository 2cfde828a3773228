"""Files that are either whole or not there: written beside, synced, then put in place."""

import os
from pathlib import Path

from nodes.runtime.crash_points import reach

_HALF_WRITTEN = ".part"


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{_HALF_WRITTEN}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            reach("up.file.unsynced")
            os.fsync(file.fileno())
        reach("up.file.unplaced")
        beside.replace(path)
        reach("up.file.placed")
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def find_half_written(*folders: Path) -> list[Path]:
    """Return the files that a crash kept `write_whole` from putting in place."""
    return sorted(path for folder in folders for path in folder.rglob(f".*{_HALF_WRITTEN}"))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
