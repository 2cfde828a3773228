"""Processes of ours: spawned in a group of their own, watched, signalled, reaped.

What holds:

- A signal goes only to a process that was spawned here and is not yet reaped: until
  then its pid cannot belong to a stranger. The pidfd says when it has ended.
- The group is killed before its leader is reaped, so nothing that a node started stays.
- Nothing of ours outlives this process: every child holds the read end of a pipe
  (`Lifeline`) whose only writer is here, and ends itself at its end of file.
- What a child prints goes to a file that a crash loop cannot grow without bound.

Linux only (pidfd_open(2)). Must be used from the main thread: PR_SET_PDEATHSIG, which
the nodes set, fires when the thread that spawned them ends.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import psutil

from nodes.runtime.crash_points import reach

OUTPUT_MAX_BYTES = 256 * 1024
_OUTPUT_KEPT_BYTES = 64 * 1024
_PAGE_BYTES = 4096
_NO_SPACE = "(it could print nothing: the disk of {} is full; make room there)"
_LAST_WORDS_BYTES = 8 * 1024
_NEVER_INHERITED = ("CLUSTER_PASSWORD",)


class Usage(NamedTuple):
    """What a process uses now: percent of one core since the last look, and bytes of memory."""

    cpu_percent: float
    rss_bytes: int


class Lifeline:
    """The pipe by whose end of file every child notices that this process is gone."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()

    def close(self) -> None:
        """Let go of both ends; every child that still runs ends."""
        os.close(self.read_fd)
        os.close(self._write_fd)


class Process:
    """One child, from its spawning to its reaping; make it with `spawn`."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Path, output_from: int) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._output = output
        self._output_from = output_from
        self._pidfd = os.pidfd_open(popen.pid)
        self._psutil = psutil.Process(popen.pid)
        self._psutil.cpu_percent()
        self.create_time_s = self._psutil.create_time()

    def watch(self, on_end: Callable[[int], None]) -> None:
        """Reap the child when it ends, then call ``on_end`` with its code (below 0: a signal)."""
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap, on_end)

    def terminate(self) -> None:
        """Ask the child to end; one that is frozen is thawed, so that it can."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the child and all that it started, frozen or not."""
        self._signal_group(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the child and all that it started."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw what `pause` froze."""
        self._signal_group(signal.SIGCONT)

    def usage(self) -> Usage:
        """Return what the child uses; zeros when it has just ended."""
        try:
            with self._psutil.oneshot():
                return Usage(self._psutil.cpu_percent(), self._psutil.memory_info().rss)
        except psutil.Error:
            return Usage(0.0, 0)

    def last_lines(self, count: int) -> list[str]:
        """Return the last lines that this child printed, oldest first; or that the disk is full."""
        lines = _read_tail(self._output, self._output_from)[-count:]
        return lines or ([_NO_SPACE.format(self._output.parent)] if _is_full(self._output.parent) else [])

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _signal_group(self, number: signal.Signals) -> None:
        # As long as its leader is not reaped, the group's number cannot be given away.
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _reap(self, on_end: Callable[[int], None]) -> None:
        reach("supervisor.reap.unreaped")
        self.kill()
        asyncio.get_running_loop().remove_reader(self._pidfd)
        code = self._popen.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        reach("supervisor.reap.untold")
        on_end(code)


def spawn(command: Sequence[str], *, output: Path, lifeline_fd: int) -> Process:
    """Start ``command`` in its own session and group, what it prints appended to ``output``.

    Raises OSError when it cannot be started; nothing runs then.
    """
    trim_output(output)
    with open_output(output) as out:
        # Now: the child moves the same position when it prints.
        output_from = out.tell()
        popen = subprocess.Popen(  # noqa: S603 - the command is the supervisor's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline_fd,),
            start_new_session=True,
            env=clean_environment(),
        )
        return Process(popen, output, output_from)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what only the operator's commands may know."""
    return {name: value for name, value in os.environ.items() if name not in _NEVER_INHERITED}


def trim_output(path: Path) -> None:
    """Cut the file to its last part if it has grown too large; a process may be writing to it."""
    if not path.exists() or path.stat().st_size <= OUTPUT_MAX_BYTES:
        return
    with path.open("r+b") as file:
        file.seek(-_OUTPUT_KEPT_BYTES, os.SEEK_END)
        kept = file.read()
        # In place: the writer appends, and goes on after what is written here.
        file.seek(0)
        file.truncate()
        file.write(kept[kept.find(b"\n") + 1 :])


def open_output(path: Path) -> BinaryIO:
    """Open a file for what a process prints, readable by this user alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _PAGE_BYTES
    except OSError:
        return False


def _read_tail(path: Path, start: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - _LAST_WORDS_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
