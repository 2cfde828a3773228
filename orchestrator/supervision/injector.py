"""The supervisor's side of the links: it leases faults to who asks for them, and has the proxy told.

A fault ends when its time is over, when it is healed by its id, or when the request that
asked for it ends, which it does when the one who asked hangs up, however that happens.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.links.addresses import Link
from orchestrator.links.faults import ANY, Fault, Leases
from orchestrator.supervision.companion import Companion, Line

_PULSE_S = 1.0
"""Whoever holds a fault is told of it at least this often."""


class Injector:
    """Keeps the faults, and the proxy that carries them out; every method must be called on the event loop."""

    def __init__(
        self,
        links: Sequence[Link],
        command: Sequence[str],
        *,
        output: Path,
        report: Callable[[str, str, str], None],
    ) -> None:
        self._links = links
        self._report = report
        self._leases = Leases()
        self._proxy = Companion("proxy", command, output, greet=self._greet)
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Keep a proxy running, and end faults when their time is over, until cancelled."""
        if not self._links:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._proxy.run(lambda _: None, self._report))
            group.create_task(self.expire())

    def describe(self) -> list[dict[str, Any]]:
        """Return the faults that are active, as JSON."""
        now_s = _now_s()
        return [fault.write(now_s) for fault in self._leases]

    async def inject(self, fields: Line) -> AsyncGenerator[Fault, None]:
        """Yield the fault that was asked for, again and again until it ends; whoever stops asking ends it.

        Raises ValueError for what cannot be.
        """
        self._demand_link(str(fields.get("source")), str(fields.get("target")))
        fault = self._leases.grant(fields, _now_s())
        self._tell(fault, "fault", f"{fault}, for at most {fault.ends_at_s - _now_s():.0f} s")
        try:
            while fault in self._leases:
                has_changed = self._has_changed
                yield fault
                await _wait(has_changed, _now_s() + _PULSE_S)
        finally:
            self.heal(fault.id, "its owner has gone")

    def heal(self, fault_id: str, how: str = "healed") -> list[Fault]:
        """End one fault, or all for `ANY`; return those that ended."""
        return self._note_ended(self._leases.heal(fault_id), how)

    def _note_ended(self, ended: list[Fault], how: str) -> list[Fault]:
        for fault in ended:
            self._tell(fault, "healed", f"{fault}: {how}")
        return ended

    def _tell(self, fault: Fault, event: str, text: str) -> None:
        node = fault.target if fault.source in (ANY, "client", "gateway") else fault.source
        self._report("" if node == ANY else node, event, f"{fault.id} {text}")
        for line in self._greet():
            self._proxy.send(line)
        self._has_changed.set()
        self._has_changed = asyncio.Event()

    def _greet(self) -> list[Line]:
        return [{"faults": self.describe()}]

    def _demand_link(self, source: str, target: str) -> None:
        if not self._links:
            raise ValueError(
                "links can be broken in test clusters alone: write `profile: test` into cluster.yaml, "
                "then `cluster down` and `cluster up`"
            )
        pairs = {
            pair for link in self._links for pair in ((link.dialler, link.server), (link.server, link.dialler))
        }
        if not any(source in (ANY, one) and target in (ANY, other) for one, other in pairs):
            names = ", ".join(link.name for link in self._links)
            raise ValueError(f"there is no link {source}->{target}; there are {names}, and each the other way")

    async def expire(self) -> None:
        """End each fault when its time is over, until cancelled."""
        while True:
            self._note_ended(self._leases.expire(_now_s()), "its time is over")
            await _wait(self._has_changed, self._leases.next_end_s())


async def _wait(event: asyncio.Event, until_s: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until_s):
            await event.wait()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
