"""What callers count, and what of it is measured."""

import pytest
from interbank.v1 import payment_pb2 as pb

from orchestrator.benchmark import callers
from orchestrator.benchmark.callers import Recorder, name_outcome, write_requests
from orchestrator.benchmark.orders import Tally


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now_s = 100.0

    monkeypatch.setattr(callers.time, "perf_counter", lambda: Clock.now_s)
    return Clock


def test_only_what_ends_within_the_time_is_measured_and_all_is_counted(clock):
    recorder = Recorder()
    recorder.record("committed", 99.0)
    clock.now_s = 101.0
    recorder.begin()
    clock.now_s = 101.25
    recorder.record("committed", 101.0, 3)
    recorder.record("failed: ABORTED", 101.0)
    clock.now_s = 102.0
    recorder.end()
    recorder.record("committed", 101.9)
    tally = recorder.tally
    assert tally.outcomes == {"committed": 5, "failed: ABORTED": 1}
    assert len(tally.latencies) == 3
    assert tally.latencies.max_ms == 250
    assert tally.timeline == {2: 3}
    assert tally.measured_s == 1.0
    assert recorder.is_over


def test_a_tally_travels_and_adds_up(clock):
    recorder = Recorder()
    recorder.begin()
    recorder.record("committed", 99.9)
    clock.now_s = 101.0
    recorder.end()
    whole = Tally()
    for _ in range(2):
        whole.merge(Tally.from_json(recorder.tally.to_json()))
    assert (whole.outcomes["committed"], len(whole.latencies), whole.measured_s) == (2, 2, 1.0)


def test_requests_follow_their_routes_each_with_an_id_of_its_own():
    requests = list(write_requests([("a@AA", "b@BB"), ("a@BB", "b@AA"), ("a@AA", "b@BB")], "INR"))
    assert [request.payer_account for request in requests] == ["a@AA", "a@BB", "a@AA"]
    assert len({request.payment_id for request in requests}) == 3
    assert {request.amount_minor for request in requests} == {1}


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (pb.PayResponse(outcome=pb.OUTCOME_COMMITTED), "committed"),
        (
            pb.PayResult(outcome=pb.OUTCOME_DECLINED, reason=pb.DECLINE_REASON_INSUFFICIENT_FUNDS),
            "declined: insufficient_funds",
        ),
    ],
)
def test_outcomes_have_names(answer, name):
    assert name_outcome(answer) == name
