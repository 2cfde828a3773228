"""A gateway gone wrong: with its own certificate and key it asks banks for what nobody ordered."""

import time
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from interbank.v1 import bank_pb2, payment_pb2

from nodes.core.messages import Decide, Prepare
from nodes.core.names import PeerKind
from tests.security.site import write_transact

HOUR_US = 3_600_000_000


def ask(site, bank, prepare, *, keys=None):
    """Send a prepare as the gateway, and its abort after it; return how the bank voted, as (kind, reason)."""
    undo = Decide(prepare.payment_id, prepare.payer, prepare.epoch, commit=False)
    requests = [
        write_transact([prepare], keys=[site.token_key] if keys is None else keys),
        write_transact(decides=[undo], number=2),
    ]
    end = site.stream("BankService/Transact", requests, node=bank, files=site.leaf(PeerKind.GATEWAY))
    said = [bank_pb2.TransactResponse.FromString(response).votes for response in end.responses]
    [vote] = [vote for votes in said for vote in zip(votes.kinds, votes.reasons, strict=True)]
    return vote


def order(**fields):
    return Prepare(uuid4().bytes, "alice", 1, "ICICI", "bob", "HDFC", 100, "INR")._replace(**fields)


YES = bank_pb2.VOTE_KIND_YES, payment_pb2.DECLINE_REASON_UNSPECIFIED
NO = bank_pb2.VOTE_KIND_NO, payment_pb2.DECLINE_REASON_NOT_AUTHORIZED
NOW_US = time.time_ns() // 1000

WRONG = [
    ("no login", lambda site: order()),
    ("the login of another", lambda site: site.authorise(order(), "bob")),
    ("the login of an auditor", lambda site: site.authorise(order(payer="eve"), "eve")),
    ("a login that is none", lambda site: site.authorise(order(), login="x.y.z")),
    ("another amount", lambda site: site.authorise(order())._replace(amount_minor=101)),
    ("another payee", lambda site: site.authorise(order())._replace(payee="charlie")),
    ("another payment", lambda site: site.authorise(order())._replace(payment_id=uuid4().bytes)),
    ("taken before the login", lambda site: site.authorise(order(), taken_at_us=NOW_US - 2 * HOUR_US)),
    ("taken after its end", lambda site: site.authorise(order(), taken_at_us=NOW_US + 2 * HOUR_US)),
]


@pytest.mark.parametrize("bank", ["ICICI", "HDFC"])
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in WRONG])
def test_what_nobody_ordered_is_voted_down_by_each_bank_and_changes_nothing(site, make, bank):
    before = site.books()
    assert ask(site, bank, make(site)) == NO
    assert site.books() == before


@pytest.mark.parametrize("bank", ["ICICI", "HDFC"])
def test_what_was_ordered_is_voted_for(site, bank):
    assert ask(site, bank, site.authorise(order())) == YES


def test_a_login_that_another_key_signed_is_worth_nothing_though_the_gateway_says_so_later(site):
    prepare = site.authorise(order())
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert ask(site, "ICICI", prepare, keys=[stranger]) == NO
    # The keys of now are what counts, so that a key that rolls is gone for good.
    assert ask(site, "ICICI", site.authorise(order())) == YES
