"""The supervisor's side of the prober: it is started, told whom to ask, and started again if it dies."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nodes.runtime.crash_points import reach
from orchestrator.supervision.companion import Companion, Line
from orchestrator.supervision.plan import Launch


class Watcher:
    """Runs the prober; what it finds is given to ``hear`` as it comes."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        hear: Callable[[Line], None],
        report: Callable[[str, str, str], None],
    ) -> None:
        self._hear = hear
        self._report = report
        self._watched: dict[str, Line] = {}
        self._prober = Companion("prober", command, output, greet=self._greet)

    def watch(self, launch: Launch, instance: str) -> None:
        """Ask this instance of the node from now on."""
        order = {
            "watch": launch.name,
            "address": launch.address,
            "tls_name": launch.tls_name,
            "instance": instance,
        }
        self._watched[launch.name] = order
        self._prober.send(order)

    def forget(self, node: str) -> None:
        """Ask the node no more."""
        if self._watched.pop(node, None):
            self._prober.send({"forget": node})

    async def run(self) -> None:
        """Keep a prober running until cancelled."""
        await self._prober.run(self._hear, self._report)

    def _greet(self) -> Iterable[Line]:
        reach("supervisor.prober.unordered")
        return self._watched.values()
