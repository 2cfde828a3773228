"""`payment explain` in a real cluster: why a payment ended so, from all that has a record of it."""

import json

import pytest

pytestmark = pytest.mark.cluster


def explain(cluster, payment_id):
    answer = json.loads(cluster.run("payment", "explain", payment_id, "-o", "json").stdout)
    return [f"{moment['who']}: {moment['what']}" for moment in answer["timeline"]], answer["conclusion"]


def test_a_payment_is_told_from_its_beginning_to_its_end(cluster):
    paid = cluster.shell_json("alice", "pay bob@HDFC 5 from ICICI")["payment"]["payment_id"]
    told, conclusion = explain(cluster, paid)
    story = [
        "client: saved in the outbox: ₹5.00 from alice@ICICI to bob@HDFC",
        "client: sent to the gateway",
        "gateway: asked to pay",
        "gateway: begun in epoch 1: ICICI and HDFC asked to promise",
        "gateway: decided: committed",
        "client: heard committed",
    ]
    assert [line for line in told if line in story] == story
    assert conclusion == "It was paid: each of its banks promised its part, and the gateway decided to commit."


def test_a_payment_that_failed_for_a_frozen_bank_says_so(cluster):
    cluster.run("chaos", "pause", "HDFC", "--hold")
    cluster.shell("alice", "pay bob@HDFC 6 from ICICI", expect=None)
    cluster.run("chaos", "resume", "HDFC")
    newest = cluster.shell_json("alice", "history -n 1")["payments"][0]
    told, conclusion = explain(cluster, newest["payment_id"])
    assert any(line.startswith("HDFC: chaos: paused and held") for line in told)
    assert "HDFC: chaos: paused and held" in conclusion
    assert conclusion.startswith("It was not paid: not all votes came before its deadline")


def test_what_nobody_knows_and_what_is_no_id_is_said(cluster):
    unknown = cluster.run("payment", "explain", "01890a5d-ac96-774b-bcce-b302099a8057", expect=1).stderr
    assert "neither gateway, banks nor the outbox know a payment 01890a5d" in unknown
    assert "must be a UUID" in cluster.run("payment", "explain", "nonsense", expect=1).stderr
