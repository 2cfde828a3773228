"""Has one process of a running test cluster crash at a point, and sees how it comes back."""

import difflib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from nodes.runtime.crash_points import Order, give_order, struck_at_s, take_back
from orchestrator.chaos.crash_registry import POINTS, Point
from orchestrator.layout.config import ClusterConfig, demand_test_profile
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.starting import Node, NotInTime, wait_for
from orchestrator.supervision.control import SupervisorAway, ask

_PROGRAMS = {"client": "shell", "supervisor": "supervisor", "up": "up", "down": "down"}
"""Who is ordered to crash at points of these processes; at all others it is a node."""
_BACK_WITHIN_S = 10.0
_ENDS_WITHIN_S = 3.0
"""After an error a process has ended within this time, or it goes on."""
_POLL_S = 0.01


class CannotCrash(Exception):
    """No such crash can be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What is to happen: ``action`` at the ``hit``-th time that ``process`` comes to ``point``."""

    process: str
    point: Point
    action: str = "kill"
    hit: int = 1
    sleep_s: float = 2.0

    def order(self, within_s: float) -> Order:
        """Write it as an order that lapses after ``within_s``."""
        return Order(
            number=str(uuid4()),
            point=self.point.name,
            action=self.action,
            hit=self.hit,
            until_s=time.time() + within_s,
            sleep_s=self.sleep_s,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. ``recovered_after_s`` is None if the node does not serve, or is none."""

    is_hit: bool
    said: str
    recovered_after_s: float | None = None
    is_well: bool = False


def find_point(name: str) -> Point:
    """Return the point of that name; raises `CannotCrash` with those that are most like it."""
    for point in POINTS:
        if point.name == name:
            return point
    near = difflib.get_close_matches(name, [point.name for point in POINTS], cutoff=0.5)
    said = f"; did you mean {' or '.join(near)}" if near else ""
    raise CannotCrash(f"there is no crash point {name[:60]!r}{said}; `cluster chaos points` lists all")


def processes_of(point: Point, config: ClusterConfig) -> tuple[str, ...]:
    """Return who comes to a point, as `cluster chaos crash` names them."""
    banks = tuple(config.banks)
    nodes = {
        "gateway": ("gateway",),
        "bank": banks,
        "node": ("gateway", *banks),
        "store": ("gateway", *banks, "shell"),
    }
    return nodes.get(point.process) or (_PROGRAMS[point.process],)


class Crashing:
    """Crashes processes of the cluster in ``folder``, whose profile must be test."""

    def __init__(self, config: ClusterConfig, folder: ClusterFolder) -> None:
        demand_test_profile(config, folder.config, "crash points")
        self._config = config
        self._folder = folder

    def demand(self, crash: Crash) -> None:
        """Raise `CannotCrash` unless that process comes to that point, and can do that there."""
        processes = processes_of(crash.point, self._config)
        if crash.process not in processes:
            raise CannotCrash(
                f"{crash.process} never comes to {crash.point.name}; who does: {', '.join(processes)}"
            )
        if crash.action not in crash.point.actions:
            possible = ", ".join(crash.point.actions)
            raise CannotCrash(f"{crash.action} cannot strike at {crash.point.name}; what can: {possible}")
        if self._is_running_as_another_profile():
            raise CannotCrash(
                "the cluster was started with the profile standard and knows no crash points; "
                "`cluster down`, then `cluster up`"
            )

    def run(self, crash: Crash, *, within_s: float) -> Outcome:
        """Order the crash, and wait until it has happened and the node is back."""
        self.demand(crash)
        starts = self._find_node(crash.process)["starts"] if self._is_node(crash.process) else 0
        with self.ordered(crash, within_s) as path:
            ends_s = time.monotonic() + within_s
            while (at_s := struck_at_s(path)) is None:
                if time.monotonic() > ends_s:
                    said = f"{crash.process} did not come to {crash.point.name} within {within_s:g} s"
                    return Outcome(False, f"{said}: {crash.point.provoked_by}?")
                time.sleep(_POLL_S)
        return self._see_back(crash, starts, at_s, max(_BACK_WITHIN_S, within_s))

    @contextmanager
    def ordered(self, crash: Crash, within_s: float) -> Iterator[Path]:
        """Have the order lie there for as long as the context lasts."""
        path = self._folder.crash_order(crash.process)
        give_order(path, crash.order(within_s))
        try:
            yield path
        finally:
            take_back(path)

    def _see_back(self, crash: Crash, starts: int, at_s: float, within_s: float) -> Outcome:
        came = f"{crash.process} came to {crash.point.name} ({crash.point.description})"
        if not self._is_node(crash.process):
            after = "; `cluster up` starts it and its nodes again" if crash.process == "supervisor" else ""
            return Outcome(True, f"{came}: {crash.action}{after}", is_well=True)
        if crash.action == "sleep":
            time.sleep(crash.sleep_s)
        elif not self._has_ended(crash, starts, within_s):
            return Outcome(True, f"{came}: {crash.action} ended a call, the process goes on", is_well=True)
        try:
            self._wait(crash.process, lambda node: bool(node["is_ready"]), within_s)
        except NotInTime:
            reason = self._find_node(crash.process)["reason"]
            return Outcome(True, f"{came}: {crash.action}; it does not serve within {within_s:g} s: {reason}")
        after_s = time.time() - at_s
        return Outcome(
            True, f"{came}: {crash.action}; it serves again after {after_s:.2f} s", after_s, is_well=True
        )

    def _has_ended(self, crash: Crash, starts: int, within_s: float) -> bool:
        """Wait for the process to be replaced; an error may have ended no more than a call."""
        limit_s = within_s if crash.action == "kill" else min(within_s, _ENDS_WITHIN_S)
        try:
            self._wait(crash.process, lambda node: bool(node["starts"] > starts), limit_s)
        except NotInTime:
            return crash.action == "kill"
        return True

    def _wait(self, name: str, is_so: Callable[[Node], bool], within_s: float) -> None:
        def is_settled(nodes: list[Node]) -> bool:
            return any(node["name"] == name and is_so(node) for node in nodes)

        wait_for(self._folder.control_socket, is_settled, within_s=within_s)

    def _is_node(self, process: str) -> bool:
        return process == "gateway" or process in self._config.banks

    def _find_node(self, name: str) -> Node:
        nodes: list[Node] = ask(self._folder.control_socket, {"do": "status"})["nodes"]
        found = next((node for node in nodes if node["name"] == name), None)
        if found is None:
            raise CannotCrash(
                f"{name} is in cluster.yaml, and not in the cluster that runs; `cluster down`, then `up`"
            )
        return found

    def _is_running_as_another_profile(self) -> bool:
        try:
            return not ask(self._folder.control_socket, {"do": "status"})["supervisor"]["is_test"]
        except SupervisorAway:
            return False
