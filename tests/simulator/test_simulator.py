"""The rules hold through many bad days, and the simulator would have told if they did not."""

import pytest

from tests.simulator.mutants import MUTANTS, applied
from tests.simulator.schedule import run_schedule

_SCHEDULES = 1000
_SCHEDULES_TO_CATCH_A_MUTANT = 10_000


def test_no_schedule_violates_an_invariant():
    for seed in range(_SCHEDULES):
        result = run_schedule(seed)
        assert not result.violation, f"replay: python -m tests.simulator --seed {seed} --log\n{result.violation}"


def test_the_same_seed_gives_the_same_events():
    for seed in range(50):
        first, second = run_schedule(seed), run_schedule(seed)
        assert first == second
    assert len({run_schedule(seed).digest for seed in range(50)}) == 50


def test_keeping_a_log_changes_nothing():
    log: list[str] = []
    assert run_schedule(7, log) == run_schedule(7)
    assert len(log) == run_schedule(7).events


def test_schedules_reach_what_they_are_for():
    """Faults that never happen prove nothing: crashes inside turns, declines and commits must all come about."""
    lines = []
    for seed in range(100):
        run_schedule(seed, lines)
    text = "\n".join(lines)
    for needed in (
        "before the turn",
        "before answering a client",
        "before telling a bank",
        "cut or heal",
        "VoteKind.NO",
    ):
        assert needed in text
    assert "commit=True" in text
    assert "commit=False" in text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_deliberate_bug_is_caught(mutant):
    with applied(mutant):
        assert any(run_schedule(seed).violation for seed in range(_SCHEDULES_TO_CATCH_A_MUTANT))
    assert not run_schedule(0).violation
