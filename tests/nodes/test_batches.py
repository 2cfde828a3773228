"""What goes to a bank together, and that nobody sees less for it than they were told."""

import json

import pytest
from interbank.v1 import payment_pb2 as pb

from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


def messages(nodes, bank):
    lines = [json.loads(line) for line in (nodes.folder / "gateway.log").read_text().splitlines()]
    return [line for line in lines if line["event"] == "stream_call" and line["bank"] == bank]


def test_a_decision_goes_out_with_the_next_payment(nodes):
    with nodes.client("alice") as alice:
        for _ in range(50):
            assert alice.pay("bob@HDFC", 1).outcome == pb.OUTCOME_COMMITTED
    said = messages(nodes, "HDFC")
    assert sum(line.get("prepares", 0) for line in said) == 50
    assert any(line.get("prepares") and line.get("decides") for line in said)


def test_whoever_was_told_of_a_payment_sees_it_in_the_balance(nodes):
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        for _ in range(20):
            before = alice.balance("ICICI").posted_minor, bob.balance("HDFC").posted_minor
            alice.pay("bob@HDFC", 3)
            after = alice.balance("ICICI").posted_minor, bob.balance("HDFC").posted_minor
            assert after == (before[0] - 3, before[1] + 3)


def test_what_was_paid_in_can_be_paid_out_at_once(nodes):
    with nodes.client("charlie") as charlie, nodes.client("bob") as bob:
        all_of_it = charlie.balance("SBI").available_minor
        for _ in range(5):
            assert charlie.pay("bob@HDFC", all_of_it, payer="charlie@SBI").outcome == pb.OUTCOME_COMMITTED
            assert bob.pay("charlie@SBI", all_of_it, payer="bob@HDFC").outcome == pb.OUTCOME_COMMITTED


def test_a_decision_that_nothing_follows_goes_out_by_itself(nodes):
    with nodes.client("alice") as alice:
        assert alice.pay("bob@HDFC", 1).outcome == pb.OUTCOME_COMMITTED
    wait_until(lambda: count(nodes, "decides") == count(nodes, "prepares"), "the last decision on the line")


def count(nodes, what) -> int:
    return sum(line.get(what, 0) for line in messages(nodes, "HDFC"))
