"""What becomes of an item that was sent: each end is final once, in order, and nothing is given up for lost."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

import pytest

from nodes.client import (
    Delivery,
    GatewayAway,
    Malformed,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    NotTrusted,
    Outbox,
    OutcomeUnknown,
    PaymentRequest,
    PaymentResult,
    PaymentView,
    State,
    Undelivered,
    new_payment_id,
)
from nodes.client import delivery as delivery_module
from nodes.client.delivery import judge
from nodes.client.errors import Broken, IdUsed, Overloaded
from nodes.client.outbox import UNDER_WAY_S_MAX

COMMITTED = PaymentResult("id", "committed", "", replayed=False)
DECLINED = PaymentResult("id", "declined", "insufficient_funds", replayed=False)
PENDING = PaymentResult("id", "pending", "", replayed=False)


class Gateway:
    """Answers sends as the test says, one after the other."""

    def __init__(self, *answers, looked_up=None):
        self.answers = list(answers)
        self.looked_up = looked_up
        self.meanwhile = lambda: None
        self.sent = []

    def pay(self, request):
        self.sent.append(request.payment_id)
        self.meanwhile()
        return _give(self.answers.pop(0))

    def payment(self, payment_id):
        found = _give(self.looked_up)
        return replace(found, payment_id=found.payment_id or payment_id)


def recorded(outcome, payment_id="", **fields):
    """Make what the gateway shows of a payment; under the id asked for, unless another is given."""
    accounts = "alice@ICICI", "bob@HDFC"
    view = PaymentView(payment_id, *accounts, 100, "INR", "", outcome, "", "outgoing", datetime.now(UTC), None)
    return replace(view, **fields)


def _give(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def outbox(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery_module, "_sleep", lambda *_: None)
    return Outbox(tmp_path / "outbox.db")


def save(outbox, count=1):
    requests = [PaymentRequest(new_payment_id(), "alice@ICICI", "bob@HDFC", 100, "INR") for _ in range(count)]
    return [outbox.save("alice", each) for each in requests]


def deliver(outbox, gateway, **options):
    return Delivery(outbox, gateway, "alice").deliver_all(until=options.pop("until", Event()), **options)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (COMMITTED, State.COMMITTED),
        (DECLINED, State.DECLINED),
        (Malformed("memo", []), State.REFUSED),
        (NotAllowed("not yours"), State.REFUSED),
        (NotFound("no bank"), State.REFUSED),
        (IdUsed("used"), State.REFUSED),
        (PENDING, None),
        (GatewayAway("away"), None),
        (Overloaded("busy"), None),
        (OutcomeUnknown("late"), None),
        (Broken("INTERNAL"), None),
    ],
)
def test_only_what_is_certain_is_final(answer, state):
    assert judge(answer).state is state


@pytest.mark.parametrize("error", [NotLoggedIn("over"), NotTrusted("another CA")])
def test_what_no_further_try_can_help_ends_the_round_and_keeps_the_item(outbox, error):
    [item] = save(outbox)
    with pytest.raises(Undelivered):
        deliver(outbox, Gateway(error))
    assert [each.request for each in outbox.waiting("alice")] == [item.request]


def test_an_unknown_outcome_is_asked_for_under_the_same_id_before_the_next_item_goes(outbox):
    first, second = save(outbox, 2)
    gateway = Gateway(OutcomeUnknown("late"), GatewayAway("away"), COMMITTED, DECLINED)
    ended = deliver(outbox, gateway)
    assert gateway.sent == [first.request.payment_id] * 3 + [second.request.payment_id]
    assert [item.state for item in ended] == [State.COMMITTED, State.DECLINED]


@pytest.mark.parametrize(
    ("looked_up", "state"),
    [
        (recorded("committed"), State.COMMITTED),
        (recorded("declined"), State.DECLINED),
        (recorded("committed", amount_minor=99), State.REFUSED),
        (recorded("committed", payee_account="carol@ICICI"), State.REFUSED),
        (recorded("committed", memo="another"), State.REFUSED),
    ],
)
def test_what_is_refused_after_an_unknown_send_is_looked_up_first(outbox, looked_up, state):
    save(outbox)
    [ended] = deliver(outbox, Gateway(OutcomeUnknown("late"), NotAllowed("no more"), looked_up=looked_up))
    assert ended.state is state


def test_a_refusal_is_no_end_while_an_earlier_send_may_yet_arrive(outbox):
    """One that was held up on its way was carried out after its user had been told that it never would be."""
    save(outbox)
    answers = OutcomeUnknown("late"), NotAllowed("suspended"), NotAllowed("suspended"), COMMITTED
    [ended] = deliver(outbox, Gateway(*answers, looked_up=NotFound("none")))
    assert ended.state is State.COMMITTED


def test_a_refusal_is_an_end_once_nothing_sent_before_can_arrive_any_more(outbox):
    [item] = save(outbox)
    outbox.mark_sent(item)
    later = Outbox(outbox.path, clock=lambda: time.time() + UNDER_WAY_S_MAX + 1)
    [ended] = deliver(later, Gateway(NotAllowed("suspended"), looked_up=NotFound("none")))
    assert ended.state is State.REFUSED


def test_sends_that_were_answered_do_not_count_as_under_way(outbox):
    """Else whoever is refused again and again would never have an end."""
    [item] = save(outbox)
    outbox.mark_sent(item)
    clock = iter(range(100))
    slow = Outbox(outbox.path, clock=lambda: time.time() + next(clock) * UNDER_WAY_S_MAX / 5)
    refusals = [NotAllowed("suspended")] * 50
    [ended] = deliver(slow, Gateway(*refusals, looked_up=NotFound("none")))
    assert ended.state is State.REFUSED


def test_what_was_sent_by_a_shell_that_died_is_looked_up_when_it_is_refused_now(outbox):
    [item] = save(outbox)
    outbox.mark_sent(item)
    [ended] = deliver(outbox, Gateway(NotAllowed("no more"), looked_up=recorded("committed")))
    assert ended.state is State.COMMITTED


def test_another_payment_that_is_under_way_under_the_same_id_may_come_to_nothing(outbox):
    [item] = save(outbox)
    outbox.mark_sent(item)
    gateway = Gateway(IdUsed("amount_minor differs"), COMMITTED, looked_up=recorded("pending", amount_minor=99))
    [ended] = deliver(outbox, gateway)
    assert ended.state is State.COMMITTED


def test_what_the_user_cancels_while_another_is_sent_is_never_sent(outbox):
    first, second = save(outbox, 2)
    gateway = Gateway(COMMITTED)
    gateway.meanwhile = lambda: outbox.cancel("alice", second.request.payment_id)
    ended = deliver(outbox, gateway)
    assert gateway.sent == [first.request.payment_id]
    assert [item.state for item in ended] == [State.COMMITTED, State.CANCELLED]


def test_an_item_that_expired_is_never_sent(outbox, monkeypatch):
    save(outbox)
    monkeypatch.setattr("nodes.client.outbox.EXPIRES_AFTER_S", -1)
    gateway = Gateway()
    [ended] = deliver(outbox, gateway)
    assert (ended.state, gateway.sent) == (State.EXPIRED, [])


def test_patience_ends_and_what_waits_waits_on(outbox):
    save(outbox, 2)
    assert deliver(outbox, Gateway(*[GatewayAway("away")] * 50), patience_s=0.0) == []
    assert [item.state for item in outbox.waiting("alice")] == [State.UNKNOWN, State.NEVER_SENT]


def test_two_deliveries_never_send_side_by_side(outbox):
    save(outbox)
    other = Delivery(outbox, Gateway(), "alice")
    with other._alone(Event(), None) as is_alone:
        assert is_alone
        gateway = Gateway(COMMITTED)
        assert deliver(outbox, gateway, patience_s=0.0) == []
        assert gateway.sent == []
