"""The generator processes of one load, from their start to their tallies; none outlives this process."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from queue import Empty, Queue
from types import TracebackType
from typing import Self

from orchestrator.benchmark.orders import Order, Tally
from orchestrator.supervision.processes import Lifeline, clean_environment

_STARTS_WITHIN_S = 30.0
_LAST_WORDS_MAX = 500


class GeneratorFailed(Exception):
    """A generator ended before its time; the message has its last words."""


class Generators:
    """Starts one process an order; use it as a context, which ends them."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._lifeline = Lifeline()
        self._generators = [_Generator(order, self._lifeline.read_fd) for order in orders]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for generator in self._generators:
            generator.end()
        self._lifeline.close()

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [generator.pid for generator in self._generators]

    def wait(self, word: str, *, within_s: float = _STARTS_WITHIN_S) -> None:
        """Return when every generator has said ``word``; raises `GeneratorFailed`."""
        for generator in self._generators:
            said = generator.next_line(within_s)
            if said != word:
                raise GeneratorFailed(f"a load generator said {said[:100]!r} instead of {word!r}")

    def go(self) -> None:
        """Let all begin."""
        for generator in self._generators:
            generator.go()

    def tally(self, *, within_s: float) -> Tally:
        """Wait for the end of all; return what came of their payments."""
        whole = Tally()
        for generator in self._generators:
            whole.merge(Tally.from_json(json.loads(generator.next_line(within_s))))
        return whole


class _Generator:
    def __init__(self, order: Order, lifeline_fd: int) -> None:
        command = [sys.executable, "-P", "-m", "orchestrator.benchmark.generator"]
        self._popen = subprocess.Popen(  # noqa: S603 - a program of our own
            [*command, "--lifeline-fd", str(lifeline_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(lifeline_fd,),
            # Ctrl-C is for the command, which ends this process in its own time.
            start_new_session=True,
            env=clean_environment(),
            text=True,
        )
        self.pid = self._popen.pid
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._write(order.to_json())

    def go(self) -> None:
        self._write("go")

    def next_line(self, within_s: float) -> str:
        try:
            line = self._lines.get(timeout=within_s)
        except Empty:
            raise GeneratorFailed(
                f"a load generator (process {self.pid}) says nothing for {within_s:g} s"
            ) from None
        if not line:
            assert self._popen.stderr is not None
            words = self._popen.stderr.read().strip()[-_LAST_WORDS_MAX:]
            raise GeneratorFailed(f"a load generator ended: {words or self._popen.wait()}")
        return line.rstrip("\n")

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._reader.join()
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _write(self, line: str) -> None:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(line + "\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            # It has ended; why, its next line will tell.
            return
