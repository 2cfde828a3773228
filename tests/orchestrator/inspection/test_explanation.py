"""One timeline of a payment, and one sentence that says why: for each way in which a payment can stand."""

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import bank_pb2, operator_pb2, payment_pb2

from nodes.client import Item, PaymentRequest, State
from nodes.core.messages import Outcome, Reason
from orchestrator.inspection.explanation import Evidence, conclude, make_timeline
from orchestrator.inspection.log_lines import LogLine

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
REQUEST = PaymentRequest(ID, "alice@ICICI", "bob@HDFC", 100_000, "INR")
HELD, POSTED, ABORTED = (
    bank_pb2.TRANSACTION_STATE_PREPARED,
    bank_pb2.TRANSACTION_STATE_COMMITTED,
    bank_pb2.TRANSACTION_STATE_ABORTED,
)


def trace(outcome, reason=Reason.NONE):
    payment = payment_pb2.Payment(
        payment_id=ID,
        payer_account="alice@ICICI",
        payee_account="bob@HDFC",
        amount_minor=100_000,
        currency="INR",
        outcome=outcome,
        reason=reason,
        created_at=Timestamp(seconds=10),
    )
    if outcome != Outcome.PENDING:
        payment.decided_at.CopyFrom(Timestamp(seconds=12))
    return operator_pb2.PaymentTrace(payment=payment, epoch=3)


def bank(name, state, reason=Reason.NONE, at_us=11_000_000):
    known = bank_pb2.BankTransaction(key=bank_pb2.TransactionKey(epoch=3), state=state, reason=reason, at_us=at_us)
    return operator_pb2.BankTrace(bank=name, transactions=[known])


def item(state, reason=""):
    return Item("alice", REQUEST, state, reason, 9.0)


def event(second, node, event, text):
    time = f"1970-01-01T00:00:{second:02}Z"
    return LogLine(time, "supervisor", json.dumps({"time": time, "node": node, "event": event, "text": text}))


def line(second, node, **fields):
    time = f"1970-01-01T00:00:{second:02}Z"
    return LogLine(time, node, json.dumps({"ts": time, **fields}))


FROZEN = event(2, "HDFC", "chaos", "paused and held: process 7 frozen")
KILLED = event(11, "HDFC", "exited", "killed by signal 9")

SENTENCES = [
    ("paid", Evidence(ID, trace=trace(Outcome.COMMITTED), banks=[bank("ICICI", POSTED), bank("HDFC", POSTED)]), "It was paid: each of its banks promised its part, and the gateway decided to commit."),
    ("paid, one has not heard", Evidence(ID, trace=trace(Outcome.COMMITTED), banks=[bank("ICICI", POSTED), bank("HDFC", HELD)], events=[KILLED]), "It was paid: each of its banks promised its part, and the gateway decided to commit; HDFC will post it when it hears, HDFC: exited: killed by signal 9."),
    ("no funds", Evidence(ID, trace=trace(Outcome.DECLINED, Reason.INSUFFICIENT_FUNDS)), "It was not paid: ICICI found less than ₹1,000.00 available on alice@ICICI."),
    ("no payee", Evidence(ID, trace=trace(Outcome.DECLINED, Reason.PAYEE_ACCOUNT_NOT_FOUND)), "It was not paid: HDFC has no account bob@HDFC."),
    ("no vote", Evidence(ID, trace=trace(Outcome.DECLINED, Reason.BANK_UNAVAILABLE), events=[FROZEN]), "It was not paid: not all votes came before its deadline, HDFC: chaos: paused and held: process 7 frozen."),
    ("no vote, nobody knows why", Evidence(ID, trace=trace(Outcome.DECLINED, Reason.BANK_UNAVAILABLE)), "It was not paid: not all votes came before its deadline, and nothing is on record of why."),
    ("under way", Evidence(ID, trace=trace(Outcome.PENDING), banks=[bank("ICICI", HELD)], events=[FROZEN]), "It is under way: the vote of HDFC is missing, HDFC: chaos: paused and held: process 7 frozen."),
    ("in doubt", Evidence(ID, banks=[bank("HDFC", HELD)], silent={"gateway": "the gateway is away"}), "It is in doubt: HDFC voted yes, and will do as the gateway decides, since the gateway cannot be asked (the gateway is away)."),
    ("never sent", Evidence(ID, item(State.NEVER_SENT), silent={"gateway": "the gateway is away"}), "It has not been sent: it waits in the outbox, since the gateway cannot be asked (the gateway is away)."),
    ("unknown", Evidence(ID, item(State.UNKNOWN)), "It was sent and its outcome is not known to the client; the client asks again until the gateway answers."),
    ("posted, the gateway away", Evidence(ID, banks=[bank("HDFC", POSTED), bank("ICICI", HELD)], silent={"gateway": "the gateway is away"}), "It was paid: HDFC posted it, which the gateway alone can have decided; the gateway cannot be asked (the gateway is away)."),
    ("heard committed, all away", Evidence(ID, item(State.COMMITTED), silent={"gateway": "the gateway is away"}), "It was paid: the client was told so, which is final; the gateway cannot be asked (the gateway is away)."),
    ("heard declined, all away", Evidence(ID, item(State.DECLINED, "insufficient_funds"), silent={"gateway": "the gateway is away"}), "It was not paid (insufficient funds): the client was told so, which is final; the gateway cannot be asked (the gateway is away)."),
    ("heard committed, no record", Evidence(ID, item(State.COMMITTED)), "It was paid: the client was told so, which is final; the gateway has no record of it, as if its file were an old copy: see `cluster audit`."),
    ("heard committed, held, the gateway away", Evidence(ID, item(State.COMMITTED), banks=[bank("HDFC", HELD)], silent={"gateway": "the gateway is away"}), "It was paid: the client was told so, which is final; the gateway cannot be asked (the gateway is away)."),
    ("cancelled", Evidence(ID, item(State.CANCELLED)), "It was not begun: the client's outbox has it as cancelled."),
    ("refused", Evidence(ID, item(State.REFUSED, "no such bank")), "It was not begun: the client's outbox has it as refused (no such bank)."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "sentence"), [case[1:] for case in SENTENCES], ids=[case[0] for case in SENTENCES]
)
def test_one_sentence_says_why(evidence, sentence):
    assert conclude(evidence) == sentence


def test_the_timeline_merges_all_that_has_a_record_of_it():
    evidence = Evidence(
        ID,
        item(State.COMMITTED),
        trace(Outcome.COMMITTED),
        [bank("ICICI", POSTED, at_us=13_000_000)],
        lines=[
            line(9, "shell", event="call", rpc="/interbank.v1.PaymentService/Pay"),
            line(14, "shell", event="answer", rpc="/interbank.v1.PaymentService/Pay", outcome="OUTCOME_COMMITTED"),
            line(14, "gateway", event="stream_opened", rpc="/interbank.v1.PaymentService/PayMany"),
        ],
        events=[
            FROZEN,
            KILLED,
            event(40, "SBI", "exited", "long afterwards"),
            event(1, "SBI", "ready", "serving"),
        ],
    )
    shown = [f"{moment.at_us // 1_000_000} {moment.who}: {moment.what}" for moment in make_timeline(evidence)]
    assert shown == [
        "2 HDFC: chaos: paused and held: process 7 frozen",
        "9 client: saved in the outbox: ₹1,000.00 from alice@ICICI to bob@HDFC",
        "9 client: sent to the gateway",
        "10 gateway: begun in epoch 3: ICICI and HDFC asked to promise",
        "11 HDFC: exited: killed by signal 9",
        "12 gateway: decided: committed",
        "13 ICICI: posted",
        "14 client: heard committed",
    ]


def test_a_node_that_was_thawed_long_before_is_no_trouble_of_a_payment():
    thawed = event(4, "HDFC", "chaos", "resumed: process 7 thawed")
    evidence = Evidence(ID, trace=trace(Outcome.COMMITTED), events=[FROZEN, thawed])
    assert [moment.who for moment in make_timeline(evidence)] == ["gateway", "gateway"]


def test_an_event_without_words_is_its_name_alone():
    evidence = Evidence(ID, trace=trace(Outcome.COMMITTED), events=[event(11, "SBI", "stopping", "")])
    assert (11_000_000, "SBI", "stopping") in make_timeline(evidence)


def test_what_happens_long_after_a_payment_has_ended_is_not_told_though_the_gateway_is_away():
    later = event(40, "SBI", "exited", "long afterwards")
    ended = Evidence(ID, item(State.COMMITTED), silent={"gateway": "the gateway is away"}, events=[later])
    waits = Evidence(ID, item(State.UNKNOWN), silent={"gateway": "the gateway is away"}, events=[later])
    assert [moment.who for moment in make_timeline(ended)] == ["client"]
    assert [moment.who for moment in make_timeline(waits)] == ["client", "SBI"]
