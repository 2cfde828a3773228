"""Figures from histories that are written here by hand: what counts as what, and how long a recovery took."""

from uuid import uuid4

import pytest

from orchestrator.campaign.figures import Recovery, compute, percentile
from orchestrator.campaign.history import COMMITTED, DECLINED, UNKNOWN, Attempt, Request
from orchestrator.campaign.nemesis import Deed
from orchestrator.campaign.schedule import Step


def attempt(
    sent_s: float, ended_s: float, outcome: str, *, bank: str = "HDFC", payment_id: str = "", **more: object
):
    request = Request("alice", payment_id or str(uuid4()), f"alice@{bank}", f"bob@{bank}", 1)
    return Attempt("alice-0", request, sent_s, ended_s, outcome, **more)


def deed(at_s: float, kind: str, target: str = "", lasts_s: float = 0.0, failure: str = "") -> Deed:
    return Deed(Step(at_s, kind, target, lasts_s), at_s, at_s + lasts_s, failure, struck_s=at_s)


def test_a_payment_counts_once_and_what_was_unknown_and_told_later_is_settled():
    lines = [
        attempt(0.0, 0.1, UNKNOWN, payment_id="p1"),
        attempt(0.2, 0.3, UNKNOWN, payment_id="p1"),
        attempt(0.4, 0.5, COMMITTED, payment_id="p1"),
        attempt(0.6, 0.7, COMMITTED, payment_id="p1"),
        attempt(0.0, 0.1, DECLINED, payment_id="p2", detail="insufficient_funds"),
        attempt(0.0, 0.1, UNKNOWN, payment_id="p3"),
        attempt(0.0, 0.1, COMMITTED, payment_id="p2", is_mutated=True),
    ]
    figures = compute(lines, [], 2.0)
    assert (figures.acknowledged, figures.committed, figures.declined) == (2, 1, 1)
    assert (figures.unknown, figures.settled, figures.replayed) == (3, 1, 1)
    assert figures.declines == {"insufficient_funds": 1}


def test_bins_hold_what_ended_in_them():
    figures = compute(
        [attempt(0.0, 0.1, COMMITTED), attempt(0.9, 1.1, COMMITTED), attempt(1.0, 1.2, UNKNOWN)], [], 1.4
    )
    assert [(each.at_s, each.committed, each.unknown) for each in figures.bins] == [
        (0, 1, 0),
        (0.5, 0, 0),
        (1.0, 1, 1),
    ]
    assert figures.bins[2].p50_ms == pytest.approx(200)


@pytest.mark.parametrize(
    ("deeds", "recovery"),
    [
        # Sent before the kill, answered after it: the bank was told already, so it shows nothing.
        ([deed(1.0, "kill", "HDFC")], Recovery("kill", "HDFC", 1.0, 1.5, True)),
        ([deed(1.0, "kill", "ICICI")], Recovery("kill", "ICICI", 1.0, 0.3, True)),
        ([deed(1.0, "kill", "SBI")], Recovery("kill", "SBI", 1.0, None, True)),
        ([deed(1.0, "kill", "gateway")], Recovery("kill", "gateway", 1.0, 0.3, True)),
        ([deed(1.0, "kill-all")], Recovery("kill-all", "", 1.0, 0.3, True)),
        (
            [deed(1.0, "kill", "HDFC"), deed(2.0, "cut", "HDFC->gateway", 9)],
            Recovery("kill", "HDFC", 1.0, 1.5, False),
        ),
        (
            [deed(1.0, "kill", "HDFC"), deed(2.6, "cut", "HDFC->gateway", 9)],
            Recovery("kill", "HDFC", 1.0, 1.5, True),
        ),
        ([deed(1.0, "kill", "HDFC"), deed(1.1, "kill-client")], Recovery("kill", "HDFC", 1.0, 1.5, True)),
    ],
)
def test_a_recovery_ends_with_a_payment_that_was_sent_after_the_kill_and_needed_the_victim(deeds, recovery):
    lines = [
        attempt(0.9, 1.1, COMMITTED, bank="HDFC"),
        attempt(1.2, 1.3, COMMITTED, bank="ICICI"),
        attempt(1.2, 2.0, UNKNOWN, bank="HDFC"),
        attempt(2.1, 2.5, COMMITTED, bank="HDFC"),
    ]
    assert compute(lines, deeds, 3.0).recoveries == [recovery]


def test_a_payment_that_was_sent_before_the_victim_was_dead_shows_nothing():
    slow = deed(1.0, "kill", "HDFC")
    slow.struck_s = 1.3
    lines = [attempt(1.2, 1.25, COMMITTED), attempt(1.35, 1.8, COMMITTED)]
    assert compute(lines, [slow], 3.0).recoveries == [Recovery("kill", "HDFC", 1.0, 0.5, True)]


def test_what_could_not_be_done_is_no_fault_and_is_counted():
    figures = compute([], [deed(1.0, "kill", "HDFC", failure="no supervisor"), deed(2.0, "kill", "SBI")], 3.0)
    assert (figures.deeds, figures.undone, len(figures.recoveries)) == ({"kill": 1}, 1, 1)


def test_percentiles():
    assert percentile([], 0.5) == 0
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0
    assert percentile([float(n) for n in range(100)], 0.5) == 50.0
