import math

import grpc
import pytest

from nodes.gateway import throttle
from nodes.gateway.throttle import CERTIFICATE, PAIR, USER, Throttle
from nodes.runtime.refusal import RequestRefused


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Throttle:
    return Throttle(clock)


def is_let_in(gate: Throttle, user: str, thumbprint: str) -> bool:
    try:
        gate.charge(user, thumbprint)
    except RequestRefused:
        return False
    return True


def count_let_in(gate: Throttle, attempts: list[tuple[str, str]]) -> int:
    return sum(is_let_in(gate, *attempt) for attempt in attempts)


def test_a_guesser_is_stopped_and_the_user_on_another_certificate_is_not(gate: Throttle) -> None:
    assert count_let_in(gate, [("alice", "thief")] * 100) == PAIR.failures_max
    assert is_let_in(gate, "alice", "shell")


def test_a_guesser_at_many_users_is_stopped_and_they_on_other_certificates_are_not(gate: Throttle) -> None:
    users = [f"user-{number}" for number in range(100)]
    assert count_let_in(gate, [(user, "thief") for user in users]) == CERTIFICATE.failures_max
    assert (
        count_let_in(gate, [(user, "shell") for user in users[: CERTIFICATE.failures_max]])
        == CERTIFICATE.failures_max
    )


def test_many_certificates_guessing_at_one_user_are_stopped(gate: Throttle, clock: Clock) -> None:
    attempts = [("alice", f"thief-{number}") for number in range(100)]
    assert count_let_in(gate, attempts) == USER.failures_max
    assert is_let_in(gate, "bob", "thief-1")
    clock.now += USER.melts_s
    assert is_let_in(gate, "alice", "shell")


def test_a_right_password_costs_nothing(gate: Throttle) -> None:
    for _ in range(1000):
        gate.charge("alice", "shell")
        gate.give_back("alice", "shell")
    assert len(gate) == 0


def test_right_passwords_do_not_pay_for_wrong_ones(gate: Throttle) -> None:
    for _ in range(PAIR.failures_max - 1):
        gate.charge("alice", "shell")
    gate.charge("alice", "shell")
    gate.give_back("alice", "shell")
    assert count_let_in(gate, [("alice", "shell")] * 5) == 1


def test_a_refusal_says_when_to_try_again_and_then_one_is_let_in(gate: Throttle, clock: Clock) -> None:
    count_let_in(gate, [("alice", "shell")] * PAIR.failures_max)
    clock.now += 4.5
    with pytest.raises(RequestRefused) as caught:
        gate.charge("alice", "shell")
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.message == "too many wrong passwords: try again in 11 s"
    assert caught.value.retry_after_s is not None
    assert math.isclose(caught.value.retry_after_s, 10.5)
    clock.now += 10.6
    assert count_let_in(gate, [("alice", "shell")] * 5) == 1


def test_a_refused_attempt_adds_no_debt(gate: Throttle, clock: Clock) -> None:
    count_let_in(gate, [("alice", "shell")] * 1000)
    clock.now += PAIR.melts_s * PAIR.failures_max
    assert count_let_in(gate, [("alice", "shell")] * 1000) == PAIR.failures_max


def test_memory_is_bounded_and_the_newest_debts_are_kept(gate: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_DEBTS_MAX", 30)
    for number in range(100):
        is_let_in(gate, f"user-{number}", f"thumbprint-{number}")
    assert len(gate) == 30
    assert count_let_in(gate, [("user-99", "thumbprint-99")] * 100) == PAIR.failures_max - 1


def test_one_certificate_cannot_push_out_what_it_owes(gate: Throttle) -> None:
    count_let_in(gate, [("alice", "thief")] * 100)
    count_let_in(gate, [(f"user-{number}", "thief") for number in range(50_000)])
    assert len(gate) < 100
    assert not is_let_in(gate, "alice", "thief")
