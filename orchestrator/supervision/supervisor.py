"""The process in the background that owns the nodes: ``python -m orchestrator.supervision.supervisor < plan``.

It holds the lock of the cluster's folder for as long as it lives, starts the gateway and
then the banks, keeps each as the policy says (`keeper`), has them asked how they are
(`watcher`), and obeys the commands that come over the control socket (`requests`). It
loads no gRPC: a process that starts others must not.

Killed with -9 it leaves nothing behind: the nodes end by their lifeline, the lock falls
with its process, and the socket is replaced by the next holder of the lock. It outlives
whoever started it, unless it is given a lifeline itself: at the end of that pipe it stops
all nodes in order, and ends. So a cluster that a command made for itself ends with it.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nodes.runtime.crash_points import obey, reach
from nodes.runtime.lifeline import parse_descriptor
from orchestrator.links.faults import ANY
from orchestrator.supervision.control_server import listen, serve
from orchestrator.supervision.injector import Injector
from orchestrator.supervision.journal import Entry, Journal
from orchestrator.supervision.keeper import Keeper
from orchestrator.supervision.lock import FolderLock, Taken
from orchestrator.supervision.plan import Launch, Plan, read_plan
from orchestrator.supervision.processes import Lifeline
from orchestrator.supervision.renewal import Renewer
from orchestrator.supervision.requests import answer
from orchestrator.supervision.watcher import Watcher

EXIT_TAKEN = 75
"""The exit code when another supervisor owns the folder."""

_LOOK_EVERY_S = 2.0
_LOCK_WITHIN_S = 0.5


class Supervisor:
    """Keeps what the plan says until it is told to stop; make it inside the event loop that runs it.

    ``lifeline_fd`` is the pipe by whose end it is told so, too.
    """

    def __init__(
        self, plan: Plan, tell: Callable[[Entry], None] = lambda _: None, lifeline_fd: int | None = None
    ) -> None:
        self._plan = plan
        self._own_lifeline_fd = lifeline_fd
        self._tell = tell
        self.journal = Journal(Path(plan.journal))
        self._lifeline = Lifeline()
        output = Path(plan.prober_output)
        self._watcher = Watcher(plan.prober, output=output, hear=self._hear, report=self.report)
        self.keepers = {launch.name: self._keep(launch) for launch in plan.launches}
        self.injector = Injector(plan.links, plan.proxy, output=Path(plan.proxy_output), report=self.report)
        self.version = 0
        self._change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told_to_stop = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether the cluster goes down, or is down."""
        return self._told_to_stop.is_set()

    @property
    def is_down(self) -> bool:
        """Whether no node has a process."""
        return all(keeper.is_down for keeper in self.keepers.values())

    async def run(self) -> None:
        """Start all nodes and keep them; returns when it was told to stop and all have ended."""
        socket = Path(self._plan.socket)
        reach("supervisor.start.unheard")
        server = await serve(listen(socket), lambda request: answer(self, request))
        reach("supervisor.start.listening")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        if self._own_lifeline_fd is not None:
            loop.add_reader(self._own_lifeline_fd, self._look_at_lifeline, self._own_lifeline_fd)
        renewing = Renewer(self._plan.renewer, self.report).run()
        running = (self._watcher.run(), self.injector.run(), self._look(), renewing)
        tasks = [loop.create_task(each) for each in running]
        self.report("", "supervisor-started", f"process {os.getpid()}, {len(self.keepers)} nodes")
        for keeper in self.keepers.values():
            keeper.start()
        await self._told_to_stop.wait()
        reach("supervisor.down.told")
        await self._stop_nodes()
        reach("supervisor.down.nodes-down")
        await _cancel(tasks)
        server.close()
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call
        reach("supervisor.down.unlistening")
        self.report("", "supervisor-ended", "all nodes are stopped")
        self._lifeline.close()
        self.journal.close()

    def stop(self) -> None:
        """Have all nodes stopped, then `run` return."""
        self._told_to_stop.set()

    def report(self, node: str, event: str, text: str) -> None:
        """Write to the journal and wake all that wait for a change."""
        self._tell(self.journal.write(node, event, text))
        self.version += 1
        self._change.set_result(None)
        self._change = asyncio.get_running_loop().create_future()

    async def wait_for_change(self, seen: int) -> None:
        """Return when something has been reported since ``version`` was ``seen``."""
        if self.version == seen:
            await asyncio.shield(self._change)

    def describe(self) -> dict[str, Any]:
        """Return what `status` shows, as JSON."""
        faults = self.injector.describe()
        nodes = [
            {**keeper.describe(), "faults": _concerning(name, faults)} for name, keeper in self.keepers.items()
        ]
        about = {"pid": os.getpid(), "is_stopping": self.is_stopping, "is_test": bool(self._plan.crash_order)}
        return {"supervisor": about, "nodes": nodes}

    def _look_at_lifeline(self, lifeline_fd: int) -> None:
        if not os.read(lifeline_fd, 1):
            asyncio.get_running_loop().remove_reader(lifeline_fd)
            self.report("", "maker-gone", "whoever this cluster was made for is gone; all nodes are stopped")
            self.stop()

    async def _stop_nodes(self) -> None:
        # The gateway first: payments under way end while the banks still answer.
        for is_gateway in (True, False):
            group = [keeper for keeper in self.keepers.values() if (keeper.launch.role == "gateway") == is_gateway]
            for keeper in group:
                keeper.stop()
            while not all(keeper.is_down for keeper in group):
                await self.wait_for_change(self.version)
            reach("supervisor.down.half-down")

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for keeper in self.keepers.values():
                keeper.look()

    def _keep(self, launch: Launch) -> Keeper:
        return Keeper(
            launch,
            self._plan.limits,
            lifeline_fd=self._lifeline.read_fd,
            watch=self._watcher,
            report=self.report,
        )

    def _hear(self, answer: dict[str, Any]) -> None:
        self.keepers[answer["node"]].hear(answer)


def _concerning(node: str, faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [fault for fault in faults if node in (fault["source"], fault["target"]) or ANY in fault.values()]


async def _cancel(tasks: Iterable["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def supervise(plan: Plan, tell: Callable[[Entry], None] = lambda _: None, lifeline_fd: int | None = None) -> None:
    """Own the folder and keep its nodes until told to stop. Raises `Taken` when another does already."""
    # Books, logs and what the nodes print are this user's alone.
    os.umask(0o077)
    obey(Path(plan.crash_order) if plan.crash_order else None)
    lock = FolderLock(Path(plan.lock))
    lock.take(within_s=_LOCK_WITHIN_S)
    reach("supervisor.start.lock-taken")

    async def run() -> None:
        await Supervisor(plan, tell, lifeline_fd).run()

    try:
        asyncio.run(run())
    finally:
        lock.release()


def main() -> None:
    """Supervise the plan on standard input."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.supervision.supervisor", description=__doc__)
    parser.add_argument(
        "--lifeline-fd", type=parse_descriptor, help="descriptor of a pipe; all nodes are stopped when it ends"
    )
    lifeline_fd = parser.parse_args().lifeline_fd
    if lifeline_fd is not None:
        os.set_inheritable(lifeline_fd, False)
    try:
        supervise(read_plan(sys.stdin.buffer.read()), lifeline_fd=lifeline_fd)
    except Taken as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_TAKEN)


if __name__ == "__main__":
    main()
