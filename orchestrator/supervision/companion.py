"""A program beside the supervisor that is told things and tells things, one line of JSON each.

It does what the supervisor itself must not, such as loading gRPC or moving bytes. If it
ends it is started again and told anew all that still holds. It must end by itself at
the end of its input, so that it never outlives the supervisor.
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.supervision.policy import Limits, backoff_s
from orchestrator.supervision.processes import clean_environment, open_output, trim_output

Line = dict[str, Any]

_QUIET_S = 10.0
"""One that has lived for so long is started again at once."""


class Companion:
    """One such program, called ``name``; ``greet`` gives what each new process is told first."""

    def __init__(
        self, name: str, command: Sequence[str], output: Path, *, greet: Callable[[], Iterable[Line]]
    ) -> None:
        self.pid: int | None = None
        self._name = name
        self._command = command
        self._output = output
        self._greet = greet
        self._process: Process | None = None

    def send(self, line: Line) -> None:
        """Tell it something; dropped when there is no process, which will be greeted."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def run(self, hear: Callable[[Line], None], report: Callable[[str, str, str], None]) -> None:
        """Keep one running until cancelled; give ``hear`` what it says, and ``report`` its ends."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            end = await self._run_once(hear)
            failures = 1 if loop.time() - started_s > _QUIET_S else failures + 1
            report("", f"{self._name}-ended", f"the {self._name} ended ({end}); it is started again")
            await asyncio.sleep(backoff_s(failures, 1.0, Limits()))

    async def _run_once(self, hear: Callable[[Line], None]) -> str:
        try:
            return f"code {await self._run_process(hear)}"
        except OSError as error:
            return f"cannot be started: {error}"

    async def _run_process(self, hear: Callable[[Line], None]) -> int:
        trim_output(self._output)
        with open_output(self._output) as output:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=output,
                start_new_session=True,
                env=clean_environment(),
            )
        self._process, self.pid = process, process.pid
        assert process.stdout is not None
        for line in self._greet():
            self.send(line)
        try:
            while (text := await process.stdout.readline()).endswith(b"\n"):
                hear(json.loads(text))
            return await process.wait()
        finally:
            self._process = self.pid = None
            if process.returncode is None:
                process.kill()
                await process.wait()
