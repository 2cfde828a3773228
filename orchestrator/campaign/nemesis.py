"""Breaks what the schedule says, when it says so, and keeps what was done, from when to when.

A step that lasts holds its fault over the control connection, so that everything heals
should this process be killed. A step that cannot be done, because the supervisor is down
just then, says so and is not counted.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from orchestrator.campaign.couriers import Couriers
from orchestrator.campaign.schedule import LINK_KINDS, Schedule, Step
from orchestrator.lifecycle.driven import DrivenCluster
from orchestrator.lifecycle.starting import CannotStart, NotInTime, all_serve, wait_for
from orchestrator.supervision.control import Refused, SupervisorAway, SupervisorSilent, ask, follow

_FILE_MAX_BYTES = 4096
"""Past this every write of a node's fails: what a full disk does, without being root."""
_AMOUNTS: dict[str, dict[str, float]] = {"delay": {"delay_s": 0.2, "jitter_s": 0.1}, "drop": {"loss": 0.3}}
_HEALS_IN_S = 5.0
_SERVE_WITHIN_S = 20.0
_DIES_WITHIN_S = 2.0


@dataclass(slots=True)
class Deed:
    """A step as it was done; ``failure`` says why it was not. Times are the campaign's.

    ``struck_s``: when what was to be killed was surely dead; nothing sent later owes anything to its last moments.
    """

    step: Step
    began_s: float
    ended_s: float
    failure: str = ""
    struck_s: float = 0.0


class Nemesis:
    """Does the steps of a schedule; `deeds` grows as they are begun."""

    def __init__(
        self, schedule: Schedule, cluster: DrivenCluster, couriers: Couriers, now_s: Callable[[], float]
    ) -> None:
        self.deeds: list[Deed] = []
        self._schedule = schedule
        self._cluster = cluster
        self._socket = cluster.folder.control_socket
        self._couriers = couriers
        self._now_s = now_s
        self._is_over = threading.Event()
        self._running: list[threading.Thread] = []

    def run(self, say: Callable[[str], None]) -> None:
        """Do all steps in their time; returns when the campaign's time is over, with all faults healed."""
        for step in self._schedule.steps:
            if self._is_over.wait(max(0.0, step.at_s - self._now_s())):
                break
            if self._schedule.is_patient:
                self._wait_until_all_serve()
            self.begin(step)
            say(f"{self._now_s():5.1f} s  {step}")
        self._is_over.wait(max(0.0, self._schedule.for_s - self._now_s()))
        self.heal()

    def begin(self, step: Step) -> Deed:
        """Begin a step, in a thread of its own."""
        deed = Deed(step, self._now_s(), self._now_s() + step.lasts_s)
        self.deeds.append(deed)
        thread = threading.Thread(target=self._do, args=(deed,), name=str(step))
        self._running.append(thread)
        thread.start()
        return deed

    def heal(self) -> None:
        """End all that lasts, and wait for it."""
        self._is_over.set()
        for thread in self._running:
            thread.join()

    def _wait_until_all_serve(self) -> None:
        """Wait for who is coming back; what does not come back in time is for the judge to find."""
        for thread in self._running:
            thread.join()
        with suppress(NotInTime, SupervisorAway, SupervisorSilent):
            wait_for(self._socket, all_serve, within_s=_SERVE_WITHIN_S)

    def _do(self, deed: Deed) -> None:
        kind = deed.step.kind
        do = self._break_link if kind in LINK_KINDS else getattr(self, f"_{kind.replace('-', '_')}")
        try:
            do(deed)
        except (CannotStart, SupervisorAway, SupervisorSilent, Refused, OSError, psutil.Error) as error:
            deed.failure = str(error)
        deed.ended_s = self._now_s()

    def _break_link(self, deed: Deed) -> None:
        step = deed.step
        source, target = step.target.split("->")
        fault = {"kind": step.kind, "source": source, "target": target, "owner": "a campaign"}
        self._hold({"do": "inject", **fault, "left_s": step.lasts_s, **_AMOUNTS.get(step.kind, {})}, step.lasts_s)

    def _hold(self, request: dict[str, Any], lasts_s: float) -> None:
        """Ask for what ends when its time is over, or when this stops listening."""
        has_begun = False
        for _ in follow(self._socket, request, within_s=lasts_s + _HEALS_IN_S):
            has_begun = True
            if self._is_over.is_set():
                break
        if not has_begun:
            raise SupervisorAway(f"the supervisor went away before it began to {request['do']}")

    def _kill(self, deed: Deed) -> None:
        ask(self._socket, {"do": "kill", "node": deed.step.target})
        deed.struck_s = self._now_s()

    def _kill_all(self, deed: Deed) -> None:
        for node in self._nodes():
            if node["pid"] is not None:
                ask(self._socket, {"do": "kill", "node": node["name"]})
        deed.struck_s = self._now_s()

    def _restart(self, deed: Deed) -> None:
        ask(self._socket, {"do": "restart", "node": deed.step.target})

    def _pause(self, deed: Deed) -> None:
        lasts_s = deed.step.lasts_s
        self._hold({"do": "pause", "node": deed.step.target, "for_s": lasts_s}, lasts_s)

    def _disk_full(self, deed: Deed) -> None:
        step = deed.step
        pid = next(node["pid"] for node in self._nodes() if node["name"] == step.target)
        if pid is None:
            raise OSError(f"{step.target} is down just now")
        process = psutil.Process(pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (_FILE_MAX_BYTES, psutil.RLIM_INFINITY))
        self._is_over.wait(step.lasts_s)
        with suppress(psutil.NoSuchProcess):
            # If it had nothing to write meanwhile, there is room again.
            process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))

    def _kill_client(self, deed: Deed) -> None:
        self._couriers.kill_one(int(deed.step.at_s * 100))

    def _kill_supervisor(self, deed: Deed) -> None:
        supervisor = psutil.Process(ask(self._socket, {"do": "status"})["supervisor"]["pid"])
        nodes = [psutil.Process(node["pid"]) for node in self._nodes() if node["pid"] is not None]
        supervisor.kill()
        psutil.wait_procs([supervisor, *nodes], _DIES_WITHIN_S)
        deed.struck_s = self._now_s()
        self._cluster.up()

    def _nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = ask(self._socket, {"do": "status"})["nodes"]
        return nodes
