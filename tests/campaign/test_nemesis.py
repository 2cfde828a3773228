"""The nemesis does what the schedule says, for as long as it says, and says so when it could not."""

import resource
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from orchestrator.campaign import nemesis
from orchestrator.campaign.nemesis import Nemesis
from orchestrator.campaign.schedule import Schedule, Step
from orchestrator.supervision.control import Refused, SupervisorAway
from tests.running_nodes import wait_until

BANKS = ("HDFC", "SBI")


class Supervisor:
    """Answers as the real one would; ``asked`` is what it was asked for."""

    def __init__(self, pid: int | None = None) -> None:
        self.asked: list[dict] = []
        self.failure: Exception | None = None
        self.is_mute = False
        self.pid = pid
        self.held_s = 0.2
        self.has_let_go = threading.Event()

    def ask(self, _, request, **__):
        if request["do"] == "status":
            names = ("gateway", *BANKS)
            return {"nodes": [{"name": name, "pid": None if name == "SBI" else self.pid} for name in names]}
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        return {}

    def follow(self, path, request, **__):
        yield from () if self.is_mute else self._hold(self.ask(path, request))

    def _hold(self, answer):
        ends_s = time.monotonic() + self.held_s
        try:
            while time.monotonic() < ends_s:
                yield answer
                time.sleep(0.01)
        finally:
            self.has_let_go.set()


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor()
    monkeypatch.setattr(nemesis, "ask", supervisor.ask)
    monkeypatch.setattr(nemesis, "follow", supervisor.follow)
    return supervisor


def make(*steps: Step, for_s: float = 0.3, kill_one=lambda _: None) -> Nemesis:
    began_s = time.monotonic()
    cluster = SimpleNamespace(folder=SimpleNamespace(control_socket=Path("/nowhere")))
    couriers = SimpleNamespace(kill_one=kill_one)
    return Nemesis(Schedule(1, for_s, BANKS, steps), cluster, couriers, lambda: time.monotonic() - began_s)


def do(step: Step):
    """Do one step to its end."""
    one = make()
    deed = one.begin(step)
    for thread in one._running:
        thread.join()
    return deed


def test_all_steps_are_done_none_before_its_time(supervisor):
    killed = []
    steps = Step(0.05, "kill", "HDFC"), Step(0.1, "restart", "SBI"), Step(0.2, "kill-client")
    nemesis = make(*steps, kill_one=killed.append)
    nemesis.run(lambda _: None)
    assert [deed.step for deed in nemesis.deeds] == list(steps)
    assert {request["do"] for request in supervisor.asked} == {"kill", "restart"}
    assert killed == [20]
    assert all(deed.began_s >= deed.step.at_s and not deed.failure for deed in nemesis.deeds)
    assert nemesis.deeds[0].struck_s >= nemesis.deeds[0].began_s


@pytest.mark.parametrize(
    "failure", [Refused("HDFC is not running"), SupervisorAway("no supervisor"), OSError("no")]
)
@pytest.mark.parametrize("kind", ["kill", "pause"])
def test_a_step_that_cannot_be_done_says_why(supervisor, kind, failure):
    supervisor.failure = failure
    assert do(Step(0.0, kind, "HDFC", 0.1)).failure == str(failure)


def test_a_fault_that_was_never_begun_does_not_count(supervisor):
    supervisor.is_mute = True
    said = "the supervisor went away before it began to inject"
    assert do(Step(0.0, "cut", "HDFC->gateway", 0.1)).failure == said


@pytest.mark.parametrize(
    ("kind", "target"), [("pause", "HDFC"), ("cut", "HDFC->gateway"), ("drop", "gateway->SBI")]
)
def test_what_lasts_is_held_for_as_long_as_the_supervisor_has_it(supervisor, kind, target):
    deed = do(Step(0.0, kind, target, supervisor.held_s))
    assert not deed.failure
    assert deed.ended_s - deed.began_s >= supervisor.held_s
    [asked] = supervisor.asked
    wanted = {"do": "pause", "node": "HDFC", "for_s": supervisor.held_s}
    if kind != "pause":
        source, target = target.split("->")
        wanted = {"do": "inject", "kind": kind, "source": source, "target": target, "left_s": supervisor.held_s}
    assert wanted.items() <= asked.items()


def test_at_the_end_all_that_lasts_is_let_go_of_and_waited_for(supervisor):
    supervisor.held_s = 3600.0
    ended = threading.Event()
    nemesis = make(kill_one=lambda _: time.sleep(0.3) or ended.set())
    nemesis.begin(Step(0.0, "cut", "HDFC->gateway", 3600.0))
    nemesis.begin(Step(0.0, "kill-client"))
    wait_until(lambda: supervisor.asked, "the fault is injected")
    nemesis.heal()
    assert supervisor.has_let_go.is_set()
    assert ended.is_set()


def test_all_nodes_that_run_are_killed_at_once(supervisor):
    supervisor.pid = 1
    do(Step(0.0, "kill-all"))
    assert supervisor.asked == [{"do": "kill", "node": "gateway"}, {"do": "kill", "node": "HDFC"}]


def test_a_disk_is_full_for_a_node_that_runs_and_then_has_room_again(supervisor):
    with subprocess.Popen(["sleep", "3600"]) as node:
        supervisor.pid = node.pid
        process = psutil.Process(node.pid)
        nemesis = make()
        try:
            nemesis.begin(Step(0.0, "disk-full", "HDFC", 3600.0))
            wait_until(lambda: process.rlimit(psutil.RLIMIT_FSIZE)[0] == 4096, "no room")
            nemesis.heal()
            assert process.rlimit(psutil.RLIMIT_FSIZE) == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        finally:
            node.kill()
    assert do(Step(0.0, "disk-full", "SBI", 0.1)).failure == "SBI is down just now"
