"""The supervisor's side of the prober: it is started, told whom to ask, and started again if it dies."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nodes.runtime.crash_points import reach
from orchestrator.plan import Launch
from orchestrator.policy import Limits, backoff_s
from orchestrator.processes import clean_environment, open_output, trim_output


class Watcher:
    """Runs the prober; what it finds is given to ``hear`` as it comes."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        hear: Callable[[dict[str, Any]], None],
        report: Callable[[str, str, str], None],
    ) -> None:
        self._command = command
        self._output = output
        self._hear = hear
        self._report = report
        self._watched: dict[str, dict[str, Any]] = {}
        self._prober: Process | None = None

    def watch(self, launch: Launch, instance: str) -> None:
        """Ask this instance of the node from now on."""
        order = {
            "watch": launch.name,
            "address": launch.address,
            "tls_name": launch.tls_name,
            "instance": instance,
        }
        self._watched[launch.name] = order
        self._send(order)

    def forget(self, node: str) -> None:
        """Ask the node no more."""
        if self._watched.pop(node, None):
            self._send({"forget": node})

    async def run(self) -> None:
        """Keep a prober running until cancelled."""
        failures = 0
        while True:
            started_s = asyncio.get_running_loop().time()
            end = await self._run_once()
            failures = 1 if asyncio.get_running_loop().time() - started_s > 10 else failures + 1
            self._report("", "prober-ended", f"the prober ended ({end}); it is started again")
            await asyncio.sleep(backoff_s(failures, 1.0, Limits()))

    async def _run_once(self) -> str:
        try:
            return f"code {await self._run_prober()}"
        except OSError as error:
            return f"cannot be started: {error}"

    async def _run_prober(self) -> int:
        trim_output(self._output)
        with open_output(self._output) as output:
            prober = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=output,
                start_new_session=True,
                env=clean_environment(),
            )
        reach("supervisor.prober.unordered")
        self._prober = prober
        assert prober.stdout is not None
        for order in self._watched.values():
            self._send(order)
        try:
            while (line := await prober.stdout.readline()).endswith(b"\n"):
                self._hear(json.loads(line))
            return await prober.wait()
        finally:
            self._prober = None
            if prober.returncode is None:
                prober.kill()
                await prober.wait()

    def _send(self, order: dict[str, Any]) -> None:
        if self._prober is not None and self._prober.stdin is not None:
            self._prober.stdin.write(json.dumps(order).encode() + b"\n")
