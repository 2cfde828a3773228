"""Certificates that never run out while a cluster is up: the supervisor has them renewed twice a day.

By a process of its own, `cluster certs renew`, since the supervisor loads nothing that
makes certificates. Nodes take what is renewed by themselves. What was done, or why it
could not be, is an event.
"""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Sequence

from orchestrator.supervision.processes import clean_environment

EVERY_S = 12 * 60 * 60.0
_WITHIN_S = 120.0


class Renewer:
    """Runs ``command`` again and again; ``report`` is told as `Supervisor.report` is."""

    def __init__(
        self, command: Sequence[str], report: Callable[[str, str, str], None], *, every_s: float = EVERY_S
    ) -> None:
        self._command = command
        self._report = report
        self._every_s = every_s

    async def run(self) -> None:
        """Renew what is about to expire, until cancelled. The first time later: `up` has just done so."""
        while self._command:
            await asyncio.sleep(self._every_s)
            for line in await self._renew():
                self._report("", "renewal", line)

    async def _renew(self) -> list[str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                start_new_session=True,
                env=clean_environment(),
            )
        except OSError as error:
            return [f"certificates cannot be renewed: {error}"]
        try:
            async with asyncio.timeout(_WITHIN_S):
                printed, _ = await process.communicate()
        except TimeoutError:
            return [f"certificates are not renewed: no end within {_WITHIN_S:g} s"]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return printed.decode(errors="replace").splitlines()
