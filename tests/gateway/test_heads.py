"""What gateway and bank have on record of each other's chains must be what those chains are."""

import pytest
from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import Head
from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.core.soundness import Unsound
from nodes.gateway.heads import Heads
from nodes.gateway.store import GatewayStore
from nodes.runtime.chain_messages import read_head, write_head

LINK = Head(3, 30, b"h" * 32)


@pytest.fixture
def store(tmp_path):
    """Open a gateway's file with one decision, at which link 3 of HDFC was heard of."""
    store = GatewayStore.open(tmp_path / "gateway.db")
    store.chain.hear("HDFC", LINK)
    payment = Payment(bytes(16), "alice", "HDFC", "bob", "ICICI", 100, "INR", "")
    store.write([Decision(1, 1, payment, Outcome.COMMITTED, Reason.NONE, 5, 6)], [], 0)
    yield store
    store.close()


def heard(number, hash_):
    return pb.ChainHead(number=number, hash=hash_)


def test_heads_that_fit_are_no_difference(store):
    heads = Heads(store.chain)
    assert (heads.heard_number("HDFC"), heads.heard_number("SBI")) == (3, 0)
    own = store.chain.head
    response = pb.CompareHeadsResponse(link=write_head(LINK), heard=heard(own.number, own.hash))
    assert heads.find_difference("HDFC", response) == ""
    assert heads.find_difference("SBI", pb.CompareHeadsResponse()) == ""


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (
            pb.CompareHeadsResponse(),
            "HDFC: its chain was cut: the gateway has heard of link 3, which is not there",
        ),
        (
            pb.CompareHeadsResponse(link=write_head(LINK._replace(hash=b"x" * 32))),
            "HDFC: its chain was made anew: link 3 is not the one that the gateway has heard of",
        ),
        (
            pb.CompareHeadsResponse(link=write_head(LINK), heard=heard(2, b"h" * 32)),
            "the gateway: its chain was cut: HDFC has heard of link 2, which is not there",
        ),
        (
            pb.CompareHeadsResponse(link=write_head(LINK), heard=heard(1, b"h" * 32)),
            "the gateway: its chain was made anew: link 1 is not the one that HDFC has heard of",
        ),
    ],
)
def test_each_way_in_which_they_differ_is_said(store, response, said):
    found, _, hint = Heads(store.chain).find_difference("HDFC", response).partition(";")
    assert found == said
    assert ("cluster recover gateway" in hint) is said.startswith("the gateway")


@pytest.mark.parametrize("head", [heard(1, b"short"), heard(2**63, b"h" * 32), heard(1, b"")])
def test_a_head_that_no_chain_has_is_refused(head):
    with pytest.raises(Unsound, match="head: must have a hash of 32 bytes"):
        read_head(head)
