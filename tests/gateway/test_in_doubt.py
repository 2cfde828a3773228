"""What is settled by hand is held against what every bank that it touches has on record of this very try."""

from types import SimpleNamespace

import grpc
import pytest
from interbank.v1 import bank_pb2 as pb
from interbank.v1 import operator_pb2

from nodes.core.resolution import State
from nodes.gateway.in_doubt import InDoubt
from nodes.runtime.refusal import RequestRefused

KEY = bytes(16), "alice", 2


def key(epoch=2):
    return pb.TransactionKey(payment_id=KEY[0], payer=KEY[1], epoch=epoch)


class Bank:
    """Holds, and has on record, what a test says."""

    def __init__(self, hold=None, records=()):
        self.hold = hold
        self.records = [pb.BankTransaction(key=key(epoch), state=state) for epoch, state in records]

    async def in_doubt(self):
        debit, credit = self.hold
        held = pb.HoldRecord(key=key(), debit_account=debit, credit_account=credit, amount_minor=5)
        return pb.ListInDoubtResponse(holds=[held])

    async def transactions(self, _):
        return pb.GetTransactionsResponse(transactions=self.records)


async def resolve(links, bank):
    """Settle it as commit; return what the rules are told of each bank."""
    told = []

    async def judge(_, banks):
        told.append(banks)
        return ""

    request = operator_pb2.ResolveInDoubtRequest(bank=bank, transaction=key(), commit=True, who="eve", why="lost")
    await InDoubt(SimpleNamespace(links=links, resolve=judge), None).resolve(request)
    return told[0]


@pytest.mark.parametrize(
    ("bank", "hold", "other"),
    [("HDFC", ("alice", "@SBI/INR"), "SBI"), ("SBI", ("@HDFC/INR", "bob"), "HDFC")],
    ids=["held by the payer's bank", "held by the payee's bank"],
)
@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([(2, State.PREPARED)], State.PREPARED),
        ([(1, State.ABORTED), (2, State.COMMITTED)], State.COMMITTED),
        ([(1, State.ABORTED)], None),
    ],
)
async def test_the_other_banks_record_of_this_try_counts_whichever_side_holds_it(
    bank, hold, other, records, state
):
    links = {bank: Bank(hold), other: Bank(records=records)}
    assert await resolve(links, bank) == {bank: State.PREPARED, other: state}


async def test_a_bank_that_was_never_there_cannot_be_left_out():
    with pytest.raises(RequestRefused) as refused:
        await resolve({"SBI": Bank(("@HDFC/INR", "bob"))}, "SBI")
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
