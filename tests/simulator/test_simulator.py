"""The rules hold through many bad days; a day can be had again; and days are bad enough."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulator.coverage import ROWS
from tests.simulator.schedule import run_schedule

pytestmark = pytest.mark.timeout(600)  # seconds of work, but of one core, which others may want as well

_SCHEDULES = 2000
_REPLAYED = 1000


@pytest.fixture(scope="module")
def results():
    return [run_schedule(seed, is_covered=True) for seed in range(_SCHEDULES)]


def test_no_schedule_violates_an_invariant(results):
    for result in results:
        assert not result.violation, f"replay: python -m tests.simulator --seed {result.seed} --log"


def test_each_row_of_the_state_tables_is_met(results):
    """What is never met is not tested: a fault that never happens proves nothing."""
    reached: Counter[str] = Counter()
    for result in results:
        reached.update(result.reached)
    assert [row for row in ROWS if not reached[row]] == []
    assert set(reached) <= set(ROWS), "a row that only a lost disk can bring about"


def test_the_same_seed_gives_the_same_events_in_other_processes(results):
    """Also where sets and dictionaries of strings are laid out in another way."""
    command = [sys.executable, "-m", "tests.simulator", "--schedules", str(_REPLAYED), "--digests", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=500)
    assert done.stdout.split()[:_REPLAYED] == [result.digest for result in results[:_REPLAYED]]
    assert len({result.digest for result in results}) == _SCHEDULES


def test_a_run_that_is_interrupted_says_how_far_it_came():
    command = [sys.executable, "-m", "tests.simulator", "--schedules", "1000000", "--digests"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        try:
            first = run.stdout.readline()
            run.send_signal(signal.SIGINT)
            *digests, done, last = (first + run.stdout.read()).splitlines()
            assert run.wait(60) == 130
        finally:
            run.kill()
    assert done.startswith(f"{len(digests):,} schedules, ")
    assert last == f"interrupted; go on from --seed {len(digests)}"


def test_old_copies_of_disks_come_back_and_are_noticed(results):
    """That none goes unnoticed, each schedule looks at itself."""
    assert sum(result.noticed for result in results) > 300


def test_cuts_are_taken_on_bad_days(results):
    """What each of them shows, the schedule looks at itself."""
    assert sum(result.cuts > 1 for result in results) > 150, "the last is taken at rest"


def test_keeping_a_log_changes_nothing(results):
    log: list[str] = []
    assert run_schedule(7, log, is_covered=True) == results[7]
    assert len(log) == results[7].events


def test_schedules_reach_what_they_are_for():
    lines: list[str] = []
    for seed in range(400):
        run_schedule(seed, lines)
    text = "\n".join(lines)
    for needed in (
        "in danger gateway",
        "in danger alice",
        "dies gateway before answering a client",
        "dies gateway before telling a bank",
        "dies gateway before answering an inquiry",
        "dies HDFC before answering",
        "before sending",
        "dead gateway",
        "pause or resume gateway",
        "cut or heal",
        "break",
        "suspend",
        "take id",
        "cancel",
        "VoteKind.NO",
        "commit=True",
        "commit=False",
        "want a cut True",
        "taken",
        "is away",
        "went away",
        "it was given up",
        "ask past markers",
    ):
        assert needed in text, needed
