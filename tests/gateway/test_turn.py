"""One turn of the gateway: what it looks up before it decides, and what is on record before it is said."""

import apsw
import pytest

from nodes.core.coordinator import Coordinator
from nodes.core.messages import Contradiction, Outcome, Payment, Reason, Vote, VoteKind
from nodes.core.resolution import Resolution, State
from nodes.gateway.store import SCHEMA, GatewayStore
from nodes.gateway.turn import Begin, Connected, Now, Resolve, Voted, take_turn

PAYMENT = Payment(bytes(16), "alice", "HDFC", "bob", "ICICI", 100, "INR", "rent")
YES = Vote(*PAYMENT.key, 1, VoteKind.YES, Reason.NONE)
FOUND = Contradiction(b"x" * 16, "alice", 1, "commit", "HDFC: aborted")


class Gateway:
    """A gateway in its first epoch, with both banks there."""

    def __init__(self):
        connection = apsw.Connection(":memory:")
        connection.execute(SCHEMA)
        self.store = GatewayStore(connection)
        self.coordinator = Coordinator(epoch=self.store.begin_epoch(), last_sequence=0, timeout_ms=1000)
        self.turn(Connected("HDFC", []), Connected("ICICI", []))

    def turn(self, *events):
        return take_turn(self.coordinator, self.store, list(events), Now(0, 0))

    def commit(self):
        self.turn(Begin(PAYMENT, "caller"))
        self.turn(Voted("HDFC", [YES], []), Voted("ICICI", [YES], []))

    def resolve(self, commit, transaction):
        [(_, objection)] = self.turn(
            Resolve(
                Resolution(*transaction, commit, "eve", "restored", 5),
                {"HDFC": State.PREPARED, "ICICI": State.PREPARED},
                lambda _: None,
            )
        ).objections
        return objection


@pytest.fixture
def gateway():
    return Gateway()


def test_a_contradiction_is_on_record_before_it_is_told_though_nothing_is_decided(gateway):
    spoken = gateway.turn(Voted("HDFC", [], [FOUND]))
    assert spoken.contradictions == [FOUND]
    assert gateway.store.contradictions() == [FOUND]


def test_votes_count_that_come_with_a_contradiction_of_another_payment(gateway):
    gateway.turn(Begin(PAYMENT, "caller"))
    gateway.turn(Voted("HDFC", [YES], [FOUND]), Voted("ICICI", [YES], []))
    assert gateway.store.find_decisions([PAYMENT.key])[PAYMENT.key].outcome is Outcome.COMMITTED


def test_what_an_operator_settles_is_on_record_before_it_is_said(gateway):
    assert gateway.resolve(True, (b"x" * 16, "alice", 9)) == ""
    assert [word.commit for _, word in gateway.store.resolutions()] == [True]


def test_what_an_operator_may_not_settle_is_held_against_the_record_and_leaves_none(gateway):
    gateway.commit()
    assert "the gateway's decision: committed" in gateway.resolve(False, (*PAYMENT.key, 1))
    assert gateway.store.resolutions() == []


def test_all_of_a_turn_is_looked_up_however_much_has_gathered(gateway):
    gateway.commit()
    others = [PAYMENT._replace(payment_id=bytes([number]) * 16) for number in range(1, 201)]
    spoken = gateway.turn(*(Begin(each, "caller") for each in [*others, PAYMENT]))
    [(_, answer)] = spoken.effects.answers
    assert answer.replayed
    assert answer.decision.payment == PAYMENT
