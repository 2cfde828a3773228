"""Torture goes on where it stopped, adds its rounds up, and ends at the first that fails."""

import json
from dataclasses import asdict

import pytest

from orchestrator.campaign import torture
from orchestrator.campaign.torture import Round, describe, read_rounds, summarise
from tests.campaign.test_report import BAD, GOOD, make_result


def make_round(seed: int, *, is_passed: bool = True) -> Round:
    return Round(seed, is_passed, {"kill": 3, "kill-all": 1}, 100, 7, [("HDFC", 0.4), ("gateway", 0.6)])


@pytest.fixture
def tortured(monkeypatch, tmp_path):
    """Run torture without clusters; ``tortured(fails_at)`` returns (exit code, seeds of the rounds that ran)."""

    def run(cycles: int, fails_at: int = 0) -> tuple[int, list[int]]:
        ran: list[int] = []

        def run_round(seed, folder):
            ran.append(seed)
            done = make_round(seed, is_passed=seed != fails_at)
            with (folder / "rounds.jsonl").open("a") as file:
                file.write(json.dumps(asdict(done)) + "\n")
            return done

        monkeypatch.setattr(torture, "_run_round", run_round)
        monkeypatch.setattr(
            "sys.argv", ["torture", "--cycles", str(cycles), "--seed", "5", "--report", str(tmp_path)]
        )
        return torture.main(), ran

    return run


def test_rounds_go_on_until_there_were_enough_kills(tortured):
    assert tortured(10) == (0, [5, 6, 7])


def test_what_was_done_before_is_not_done_again(tortured):
    tortured(5)
    assert tortured(10) == (0, [7])
    assert tortured(10) == (0, [])


def test_the_first_round_that_fails_ends_it_and_is_not_forgotten(tortured):
    assert tortured(100, fails_at=6) == (1, [5, 6])
    assert tortured(5) == (1, [])


def test_the_figures_of_all_rounds_are_added_up(tmp_path):
    assert read_rounds(tmp_path) == []
    rounds = [make_round(1), make_round(2)]
    assert describe(rounds) == (
        "8 cycles (6 kill, 2 kill-all), 200 acknowledged, 14 unknown and then settled, none lost; "
        "recovery of 4: p50 0.60 s, p99 0.60 s"
    )
    assert "FAILED with seed 3" in describe([*rounds, make_round(3, is_passed=False)])


def test_a_round_counts_what_was_done_and_passes_if_all_its_checks_do(tmp_path):
    good, bad = make_result(tmp_path, GOOD), make_result(tmp_path, GOOD, BAD)
    assert (summarise(good).is_passed, summarise(bad).is_passed) == (True, False)
    done = [deed.step.kind for deed in good.deeds if not deed.failure]
    assert summarise(good).kills == {kind: done.count(kind) for kind in done}
    assert summarise(good).cycles == len(good.deeds) - 1
