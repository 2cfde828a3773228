"""A file of lines that is set aside when it is full. One writer.

A line is written with one system call and nothing is kept back, so a killed process
loses none. What cannot be written, for want of room on the disk, is lost: whoever
writes a log goes on without it. That is said on stderr, once when lines begin to be
lost and once when they are written again.
"""

import os
import time
from pathlib import Path

from nodes.runtime.complaints import complain

_FILE_BYTES_MAX = 20 * 1024 * 1024
_FILES_KEPT = 5


class LogUnusable(Exception):
    """A log cannot be written; the message says which file and why."""


class RotatingFile:
    """Lines in ``path``; ``path.1`` is the newest of those set aside.

    With ``keeps_all`` none is ever deleted: each is set aside under the time at which it was full.
    Raises `LogUnusable` when it is made, and nothing from then on.
    """

    def __init__(self, path: Path, bytes_max: int = _FILE_BYTES_MAX, *, keeps_all: bool = False) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._keeps_all = keeps_all
        self._lost = 0
        self._is_torn = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise LogUnusable(f"cannot write the log {path} ({error.strerror}): name another file") from error

    def write(self, line: bytes) -> None:
        """Write a whole line, which ends with a line end."""
        if self._size + len(line) > self._bytes_max:
            self._rotate()
        try:
            self._write_whole(b"\n" + line if self._is_torn else line)
        except OSError as error:
            self._note_lost(error)
        else:
            self._note_written()

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write_whole(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        self._size += written
        while written < len(line):
            self._is_torn = True
            line = line[written:]
            written = os.write(self._descriptor, line)
            self._size += written
        self._is_torn = False

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        # Whatever comes of it, the next try is a whole file later.
        self._size = 0
        full = self._descriptor
        try:
            self._set_aside()
            self._open()
        except OSError as error:
            _complain(f"cannot set the log {self._path} aside ({error.strerror}): it grows on")
        else:
            # Only now: a number that is let go may at once be that of another file, such as the database.
            os.close(full)

    def _set_aside(self) -> None:
        if self._keeps_all:
            self._path.rename(self._numbered(time.time_ns()))
            return
        for number in range(_FILES_KEPT - 1, -1, -1):
            if self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _note_lost(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1:
            _complain(f"cannot write the log {self._path} ({error.strerror}): lines are lost until that is mended")

    def _note_written(self) -> None:
        if self._lost:
            _complain(f"the log {self._path} is written again; {self._lost} lines of it were lost")
            self._lost = 0


def _complain(text: str) -> None:
    complain(f"warning: {text}")
