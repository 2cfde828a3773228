"""The gateway's audit log: a line for each payment that was asked for, written before it can be decided."""

import asyncio

import pytest

from nodes.core.messages import Payment
from nodes.core.names import Identity, PeerKind
from nodes.gateway.audit_log import PaymentAudit
from nodes.runtime.access import Caller, Login
from tests.audit_lines import DENIAL, Clock, read_lines

ALICE = Caller(
    Identity("payments.test", PeerKind.CLIENT, "shell"), "thumbprint", Login("alice", 1, "login-1", 2e9)
)
PAYMENT = Payment(bytes(range(16)), "alice", "ICICI", "bob", "HDFC", 100, "INR", "a secret memo")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def audit(tmp_path, clock):
    audit = PaymentAudit(tmp_path / "audit.log", clock=clock)
    yield audit
    audit.close()


async def test_a_payment_has_a_line_that_says_who_asked_for_what(audit, tmp_path):
    audit.pay(ALICE, [PAYMENT, PAYMENT._replace(amount_minor=7)])
    audit.flush()
    first, second = read_lines(tmp_path)
    assert first == {
        "at": "2027-01-15T08:00:00.000000Z",
        "certificate": "payments.test/client/shell",
        "thumbprint": "thumbprint",
        "user": "alice",
        "login": "login-1",
        "did": "pay",
        "payment_id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "payer": "alice@ICICI",
        "payee": "bob@HDFC",
        "amount_minor": 100,
        "currency": "INR",
    }
    assert second == first | {"amount_minor": 7}


async def test_lines_of_one_round_go_out_together_before_the_next(audit, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(audit._file, "write", written.append)
    for _ in range(3):
        audit.pay(ALICE, [PAYMENT])
    assert not written
    await asyncio.sleep(0)
    assert len(written) == 1
    assert written[0].count(b"\n") == 3


async def test_payments_are_never_left_out_however_many_denials_are(audit, tmp_path, clock):
    for _ in range(5000):
        audit.deny(DENIAL)
        audit.pay(ALICE, [PAYMENT])
    clock.now_s += 1
    audit.deny(DENIAL)
    audit.flush()
    found = read_lines(tmp_path)
    assert sum(line["did"] == "pay" for line in found) == 5000
    denied = [line for line in found if line["did"] == "denied"]
    assert len(denied) == 1001
    assert denied[-1]["left_out_before"] == 4000
