"""The lock that makes one process the owner of a cluster's folder.

A lock of the kernel decides, never a pid file: it dies with its holder, however that
dies, and cannot be stale. What is written into the file only tells people who it is.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Self

import psutil

_RETRY_S = 0.02


class Taken(Exception):
    """Another process holds the lock; the message says which."""


class FolderLock:
    """An exclusive lock on ``path``; its descriptor is inherited by no child."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def take(self, *, within_s: float = 0.0) -> None:
        """Take the lock, waiting at most so long for its holder. Raises `Taken`."""
        deadline_s = time.monotonic() + within_s
        while not self._try_lock():
            if time.monotonic() >= deadline_s:
                raise Taken(f"{self._path} is held by process {read_owner(self._path) or 'unknown'}")
            time.sleep(_RETRY_S)
        os.ftruncate(self._fd, 0)
        own = psutil.Process()
        os.pwrite(self._fd, json.dumps({"pid": own.pid, "create_time_s": own.create_time()}).encode(), 0)

    def release(self) -> None:
        """Give the lock up, if it was taken."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try_lock(self) -> bool:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # The file may have been wiped since it was opened; a lock on what is gone is none.
        if not (_lock(fd) and _is_at(fd, self._path)):
            os.close(fd)
            return False
        self._fd = fd
        return True


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock now."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def read_owner(path: Path) -> int | None:
    """Return the process that wrote itself into the lock's file, if it is that process that lives now."""
    try:
        owner = json.loads(path.read_bytes())
        process = psutil.Process(owner["pid"])
        is_same = process.create_time() == owner["create_time_s"]
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process.pid if is_same else None
