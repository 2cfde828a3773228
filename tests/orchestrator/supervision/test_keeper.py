"""A keeper does what the policy says to a process, and believes nobody else's word; no process is started."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.supervision import keeper as keeper_module
from orchestrator.supervision.keeper import Keeper
from orchestrator.supervision.plan import Launch
from orchestrator.supervision.policy import Limits, State
from orchestrator.supervision.processes import Usage

LONG_S = 3600.0
LIMITS = Limits(backoff_s=0.01, max_backoff_s=0.01, give_up_starts=100)


class Process:
    """Does nothing but take note of what is done to it."""

    pid = 7
    create_time_s = 1.0

    def __init__(self) -> None:
        self.done: list[str] = []

    def watch(self, on_end) -> None:
        self.end = on_end

    def last_lines(self, count) -> list[str]:
        return []

    def usage(self) -> Usage:
        return Usage(0.0, 0)

    def kill(self) -> None:
        self.done.append("kill")

    def terminate(self) -> None:
        self.done.append("terminate")

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")


class Kept:
    """A keeper of a node whose processes are `Process`; ``asked`` are the instances that are asked."""

    def __init__(self, monkeypatch, folder: Path) -> None:
        self.processes: list[Process] = []
        self.failures: list[OSError] = []
        self.asked: list[str] = []
        self.has_started = asyncio.Event()
        monkeypatch.setattr(keeper_module, "spawn", self._spawn)
        launch = Launch(
            name="HDFC",
            role="bank",
            address="localhost:1",
            tls_name="hdfc",
            command=("node",),
            output=str(folder / "output"),
            certificate_ends_at="",
        )
        self.keeper = Keeper(launch, LIMITS, lifeline_fd=-1, watch=self, report=lambda *_: None)

    def _spawn(self, command, **_) -> Process:
        if self.failures:
            raise self.failures.pop()
        self.processes.append(Process())
        self.has_started.set()
        return self.processes[-1]

    def watch(self, launch, instance) -> None:
        self.asked.append(instance)

    def forget(self, node) -> None:
        self.asked.clear()

    def answer(self) -> None:
        self.keeper.hear({"node": "HDFC", "instance": self.asked[-1], "is_ready": True})

    def be_silent(self, instance: str) -> None:
        self.keeper.hear({"node": "HDFC", "error": "no answer", "waited_s": LONG_S, "asked_for": instance})

    async def start_again(self) -> None:
        self.has_started.clear()
        await asyncio.wait_for(self.has_started.wait(), 60)


@pytest.fixture
async def kept(monkeypatch, tmp_path):
    kept = Kept(monkeypatch, tmp_path)
    kept.keeper.start()
    yield kept
    kept.keeper.stop()


async def test_the_silence_of_a_process_that_is_gone_is_not_held_against_its_successor(kept):
    [former] = kept.asked
    kept.processes[0].end(1)
    await kept.start_again()
    kept.be_silent(former)
    assert kept.processes[1].done == []
    kept.be_silent(kept.asked[-1])
    assert kept.processes[1].done == ["kill"]


async def test_what_chaos_killed_once_is_not_its_doing_for_ever(kept):
    kept.answer()
    kept.keeper.kill()
    kept.processes[0].end(-9)
    assert kept.keeper.describe()["reason"] == "killed by chaos"
    await kept.start_again()
    kept.processes[1].end(-9)
    assert kept.keeper.describe()["reason"] == "killed by signal 9"


async def test_a_node_that_cannot_be_spawned_is_tried_again(kept):
    kept.processes[0].end(1)
    kept.failures = [OSError(12, "Cannot allocate memory")]
    await kept.start_again()
    assert kept.failures == []
    assert (kept.keeper.life.state, kept.keeper.life.restarts) == (State.STARTING, 2)


async def test_a_node_that_has_ended_is_asked_no_more(kept):
    kept.processes[0].end(1)
    assert kept.asked == []


async def test_a_node_that_was_held_and_thawed_counts_as_hung_again(kept):
    kept.answer()
    kept.keeper.pause(is_held=True)
    kept.be_silent(kept.asked[-1])
    kept.keeper.resume()
    kept.be_silent(kept.asked[-1])
    assert kept.processes[0].done == ["pause", "resume", "kill"]


async def test_a_node_that_is_going_down_does_not_serve(kept):
    kept.answer()
    assert kept.keeper.is_serving
    kept.keeper.stop()
    assert not kept.keeper.is_serving
    assert kept.processes[0].done == ["terminate"]
