"""Callers write down all that they are told, pay until they know, and know what they must read."""

import threading
from dataclasses import replace
from random import Random

import pytest

from nodes.client import PaymentResult
from nodes.client.client import Balance, Balances
from nodes.client.errors import IdUsed, NotLoggedIn, OutcomeUnknown
from orchestrator.campaign import callers
from orchestrator.campaign.callers import OPENING_MINOR, BankCaller, OwnCaller, Storm, StormCaller, Surroundings
from orchestrator.campaign.history import COMMITTED, DECLINED, REFUSED, UNKNOWN, Attempt, Look

BANKS = ("HDFC", "SBI")


class Gateway:
    """Answers payments with what a test says, in turn, then commits all; an id whose body changes is refused."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = {}
        self.logins = 0
        self.is_on_record = COMMITTED
        self.available_minor = OPENING_MINOR

    def log_in(self, user, password):
        self.logins += 1

    def close(self):
        pass

    def pay(self, request):
        if self.bodies.setdefault(request.payment_id, request) != request:
            raise IdUsed("amount_minor differs")
        answer = self.answers.pop(0) if self.answers else COMMITTED
        if isinstance(answer, Exception):
            raise answer
        reason = "insufficient_funds" if answer == DECLINED else ""
        return PaymentResult(request.payment_id, answer, reason, replayed=False)

    def payment(self, payment_id):
        return PaymentResult(payment_id, self.is_on_record, "", replayed=False)

    def balances(self, bank):
        return Balances((Balance(f"own-0@{bank}", 0, 0, self.available_minor, "INR"),), ())


class Lines(list):
    write = list.append


@pytest.fixture
def around(monkeypatch):
    """Return what callers need, with a gateway that they all reach; nobody pauses."""
    for pause in ("_PAUSE_S", "_PAUSE_AFTER_UNKNOWN_S", "_SEND_AGAIN_S"):
        monkeypatch.setattr(callers, pause, 0.0)
    gateway = Gateway()
    return Surroundings(lambda: gateway, "pw", BANKS, lambda: 1.0, threading.Event(), Lines())


def make(kind, around, *answers):
    around.connect().answers = list(answers)
    if kind is StormCaller:
        return StormCaller(Storm(Random(1), BANKS, "storm"), "storm-0", "storm", Random(1), around)
    return kind("own-0", "own-0", Random(1), around)


def outcomes(around):
    return [line.outcome for line in around.recorder if isinstance(line, Attempt)]


def test_every_try_is_written_down_with_what_it_was_told(around):
    own = make(OwnCaller, around, OutcomeUnknown("late"), "pending", DECLINED)
    own.turn()
    assert outcomes(around) == [UNKNOWN, UNKNOWN, DECLINED]
    attempts = around.recorder[:3]
    assert len({attempt.request for attempt in attempts}) == 1
    assert [attempt.detail for attempt in attempts] == ["OutcomeUnknown: late", "", "insufficient_funds"]


def test_a_login_that_is_over_is_made_again(around):
    own = make(OwnCaller, around, NotLoggedIn("over"))
    own.turn()
    assert outcomes(around) == [UNKNOWN, COMMITTED]
    assert around.connect().logins == 2


def test_a_used_id_is_no_unknown_outcome(around):
    own = make(OwnCaller, around, IdUsed("payee differs"))
    own.turn()
    assert outcomes(around) == [REFUSED]


def test_what_has_no_answer_is_sent_again_while_others_go_on_and_at_the_end_until_it_has_one(around):
    bank = make(BankCaller, around, *3 * [OutcomeUnknown("late")])
    bank._again_s = float("inf")
    for _ in range(4):
        bank.turn()
    around.is_over.set()
    bank.run()
    assert outcomes(around) == [*3 * [UNKNOWN], *4 * [COMMITTED]]
    sent = [attempt.request.payment_id for attempt in around.recorder]
    assert sent[:3] == sent[4:]


def test_another_body_is_sent_under_an_id_whose_outcome_is_known_and_marked_as_that(around):
    storm = make(StormCaller, around, OutcomeUnknown("late"))
    storm.turn()
    known, mutated = around.recorder[1:]
    assert outcomes(around) == [UNKNOWN, COMMITTED, REFUSED]
    assert (known.is_mutated, mutated.is_mutated) == (False, True)
    assert mutated.request == replace(known.request, amount_minor=known.request.amount_minor + 1)


def test_who_alone_touches_an_account_knows_what_is_in_it(around):
    own = make(OwnCaller, around, COMMITTED, DECLINED, OutcomeUnknown("late"), COMMITTED)
    for _ in range(3):
        own.turn()
    amounts = [line.request.amount_minor for line in around.recorder if isinstance(line, Attempt)]
    looks = [line for line in around.recorder if isinstance(line, Look)]
    first, after_decline, last = (look for look in looks if look.what.startswith("available"))
    spent = OPENING_MINOR - amounts[0]
    assert (first.at_least, first.at_most) == (spent, spent)
    # What was declined may still be held.
    assert (after_decline.at_least, after_decline.at_most) == (spent - amounts[1], spent)
    assert (last.at_least, last.at_most) == (spent - amounts[1] - amounts[3], spent - amounts[3])
    assert not first.is_consistent, "the gateway says that nothing was spent"


def test_an_outcome_that_is_another_on_record_than_was_told_is_seen(around):
    own = make(OwnCaller, around)
    own.turn()
    around.connect().is_on_record = DECLINED
    own.turn()
    seen = [line for line in around.recorder if isinstance(line, Look) and line.what.startswith("payment")]
    assert [look.is_consistent for look in seen] == [True, False]
