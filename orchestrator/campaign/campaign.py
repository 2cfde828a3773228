"""One campaign from its schedule to its verdict: load, break, heal, wait, stop, judge."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.campaign import callers, history
from orchestrator.campaign.couriers import Couriers
from orchestrator.campaign.figures import Figures, compute
from orchestrator.campaign.judge import Check, Evidence, judge
from orchestrator.campaign.nemesis import Deed, Nemesis
from orchestrator.campaign.schedule import Schedule
from orchestrator.campaign.stage import Stage
from orchestrator.lifecycle.starting import CannotStart, Nodes, NotInTime, all_serve, wait_for
from orchestrator.supervision.control import SupervisorAway, SupervisorSilent, ask

_ENDS_WITHIN_S = 60.0
_SETTLED_WITHIN_S = 10.0
"""With all nodes up and all links whole, nothing may be in doubt for longer."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """All that a campaign came to."""

    schedule: Schedule
    deeds: list[Deed]
    checks: list[Check]
    figures: Figures
    history: Path

    @property
    def is_passed(self) -> bool:
        """Whether no check found anything."""
        return all(check.is_passed for check in self.checks)


class Campaign:
    """One campaign on a stage; ``say`` is given a line for each thing that happens."""

    def __init__(self, schedule: Schedule, stage: Stage, say: Say) -> None:
        self._schedule = schedule
        self._say = say
        self._stage = stage
        self._cluster = stage.cluster
        self._couriers = Couriers(stage.cluster, list(stage.couriers))
        self._is_over = threading.Event()
        self._unfinished: list[str] = []
        self._recorder = history.Recorder(stage.history)

    def run(self) -> Result:
        """Go through all of it; the cluster is stopped in any case. Raises `CannotStart`."""
        try:
            self._cluster.up()
            began_s = time.monotonic()
            nemesis, lasted_s = self._load_and_break(lambda: time.monotonic() - began_s)
        finally:
            self._is_over.set()
            self._couriers.kill()
            self._cluster.down()
            self._recorder.close()
        self._say("stopped; judging the files")
        checks = judge(self._collect_evidence(nemesis.deeds))
        figures = compute(self._recorder.lines, nemesis.deeds, lasted_s)
        return Result(self._schedule, nemesis.deeds, checks, figures, self._stage.history)

    def _load_and_break(self, now_s: Callable[[], float]) -> tuple[Nemesis, float]:
        nemesis = Nemesis(self._schedule, self._cluster, self._couriers, now_s)
        around = callers.Surroundings(
            self._cluster.connect,
            self._cluster.password,
            self._stage.banks,
            now_s,
            self._is_over,
            self._recorder,
        )
        paying = [
            threading.Thread(target=caller.run, name=caller.name, daemon=True)
            for caller in callers.make_callers(self._schedule.seed, around, self._stage.user)
        ]
        self._couriers.start()
        for thread in paying:
            thread.start()
        try:
            nemesis.run(self._say)
        finally:
            nemesis.heal()
        lasted_s = now_s()
        self._say(f"{lasted_s:5.1f} s  healed; waiting for every payment to end")
        self._finish(paying)
        return nemesis, lasted_s

    def _finish(self, paying: list[threading.Thread]) -> None:
        self._bring_back()
        self._is_over.set()
        self._couriers.tell_to_finish()
        ends_s = time.monotonic() + _ENDS_WITHIN_S
        for thread in paying:
            thread.join(max(0.0, ends_s - time.monotonic()))
            if thread.is_alive():
                self._unfinished.append(f"{thread.name} still waits for an outcome after {_ENDS_WITHIN_S:g} s")
        for user in self._couriers.finish(ends_s):
            self._unfinished.append(f"{user} could not deliver all that waits in its outbox")
        self._wait_until_settled()

    def _bring_back(self) -> None:
        """Have every node serve: start a supervisor that is gone, and nodes that were given up."""
        with suppress(SupervisorAway, SupervisorSilent):
            for node in ask(self._cluster.folder.control_socket, {"do": "status"})["nodes"]:
                if node["state"] == "FATAL":
                    ask(self._cluster.folder.control_socket, {"do": "restart", "node": node["name"]})
        try:
            self._cluster.up()
        except CannotStart as error:
            self._unfinished.append(f"healed, and still {error}")

    def _wait_until_settled(self) -> None:
        def is_settled(nodes: Nodes) -> bool:
            return all_serve(nodes) and not any(node["counters"].get("in_doubt") for node in nodes)

        try:
            wait_for(self._cluster.folder.control_socket, is_settled, within_s=_SETTLED_WITHIN_S)
        except (SupervisorAway, SupervisorSilent) as error:
            self._unfinished.append(f"healed, and still {error}")
        except NotInTime as late:
            doubts = ", ".join(f"{node['name']}: {node['counters'].get('in_doubt')}" for node in late.nodes)
            self._unfinished.append(f"in doubt {_SETTLED_WITHIN_S:g} s after all was healed: {doubts}")

    def _collect_evidence(self, deeds: list[Deed]) -> Evidence:
        folder = self._cluster.folder
        steps = self._schedule.steps
        return Evidence(
            gateway=folder.database("gateway"),
            banks={bank: folder.database(bank) for bank in self._schedule.banks},
            lines=self._recorder.lines,
            items=self._couriers.items(),
            unfinished=self._unfinished,
            faults=len(steps),
            undone=[
                *(f"{deed.step}: {deed.failure}" for deed in deeds if deed.failure),
                *(f"{step}: was never begun" for step in steps[len(deeds) :]),
            ],
        )
