"""What a bank serves: the gateway's stream, balances, and what operators look at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from interbank.v1 import audit_pb2, bank_pb2_grpc, payment_pb2
from interbank.v1 import bank_pb2 as pb

from nodes.bank.conversions import write_entry, write_hold
from nodes.bank.loop import BankLoop
from nodes.bank.store import BankStore
from nodes.core.ledger import Account
from nodes.core.soundness import EPOCH_MAX, Unsound
from nodes.runtime.chain_messages import write_head, write_hold_record
from nodes.runtime.columns import write_columns
from nodes.runtime.crash_points import reach
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context
from nodes.runtime.turns import Inbox

_ID_BYTES = 16


class BankService(bank_pb2_grpc.BankServiceServicer):
    """The gateway's counterpart. ``streams`` counts the streams of the gateway that are open now."""

    def __init__(self, bank: str, loop: BankLoop, store: BankStore) -> None:
        self.streams = 0
        self.connected = asyncio.Event()
        self.ask_gateway: Callable[[], Awaitable[tuple[int, int]]] = _cannot_ask
        """Asks about all that is held; returns how many were asked about, and answered. Set by who can."""
        self._bank = bank
        self._loop = loop
        self._store = store

    async def Transact(
        self, request_iterator: AsyncIterator[pb.TransactRequest], context: Context
    ) -> AsyncIterator[pb.TransactResponse]:
        """Feed the stream's messages to the loop; send back what each turn answers."""
        answers: Inbox[pb.TransactResponse | None] = Inbox()
        reach("bank.line.opened")
        self._loop.open_stream(answers.put)
        reading = asyncio.create_task(self._read(request_iterator, answers))
        self._count_streams(+1)
        answered = 0
        try:
            async for gathered in answers.batches():
                said = [answer for answer in gathered if answer is not None]
                answered += len(said)
                if said:
                    merged = _merge(said)
                    yield merged
                    reach("bank.vote.sent" if merged.votes.payment_ids else "bank.entry.confirmed")
                if reading.done() and answered > reading.result():
                    return
        finally:
            self._count_streams(-1)
            reach("bank.line.lost")
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[pb.TransactRequest], answers: Inbox[pb.TransactResponse | None]
    ) -> int:
        """Take all messages; return how many there were, each of which has one answer."""
        taken = 0
        try:
            async for request in requests:
                self._loop.receive(request, answers.put)
                taken += 1
        except Unsound as error:
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        except ValueError as error:
            said = "the columns are not equally long"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, said) from error
        finally:
            # Wakes the answering side, which looks once more whether that was all.
            asyncio.get_running_loop().call_soon(answers.put, None)
        return taken

    def _count_streams(self, change: int) -> None:
        self.streams += change
        if self.streams:
            self.connected.set()
        else:
            self.connected.clear()

    async def CompareHeads(self, request: pb.CompareHeadsRequest, context: Context) -> pb.CompareHeadsResponse:
        """Show the gateway what it has on record of this bank's chain, and what this bank has of its."""
        chain = self._store.chain
        link = chain.head_at(min(request.number, EPOCH_MAX))
        heard = next((told for told in chain.last_heard() if told.node == "gateway"), None)
        return pb.CompareHeadsResponse(
            link=write_head(link) if link else None,
            heard=pb.ChainHead(number=heard.number, hash=heard.hash) if heard else None,
        )

    async def ListInDoubt(self, request: pb.ListInDoubtRequest, context: Context) -> pb.ListInDoubtResponse:
        """Show all that is held."""
        return pb.ListInDoubtResponse(holds=map(write_hold_record, self._loop.ledger.holds.values()))

    async def AskGateway(self, request: pb.AskGatewayRequest, context: Context) -> pb.AskGatewayResponse:
        """Ask about all that is held, now."""
        try:
            asked, answered = await self.ask_gateway()
        except grpc.aio.AioRpcError as error:
            said = f"the gateway does not answer: {error.code().name}"
            raise RequestRefused(grpc.StatusCode.UNAVAILABLE, said, (), 1.0) from error
        return pb.AskGatewayResponse(asked=asked, answered=answered)

    def read_records(self, after: int, until: int) -> audit_pb2.ReadRecordsResponse:
        """Return a page of the journal for an auditor."""
        rows = self._store.read_rows(after, until)
        return audit_pb2.ReadRecordsResponse(entries=write_columns(audit_pb2.EntryRecords, rows))

    async def GetBalances(self, request: pb.GetBalancesRequest, context: Context) -> pb.GetBalancesResponse:
        """Show the account of a user, if there is one."""
        account = self._loop.ledger.account(request.user)
        if account is None or not account.is_customer:
            return pb.GetBalancesResponse()
        return pb.GetBalancesResponse(balances=[self._balance(account)])

    def _balance(self, account: Account) -> payment_pb2.Balance:
        return payment_pb2.Balance(
            account=f"{account.name}@{self._bank}",
            posted_minor=account.posted,
            held_minor=account.held,
            available_minor=account.available,
            currency=account.currency,
        )

    async def GetTransactions(
        self, request: pb.GetTransactionsRequest, context: Context
    ) -> pb.GetTransactionsResponse:
        """Show what the books say of a payment id."""
        if len(request.payment_id) != _ID_BYTES:
            said = f"must have {_ID_BYTES} bytes"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"payment_id: {said}", [("payment_id", said)])
        holds = [hold for hold in self._loop.ledger.holds.values() if hold.payment_id == request.payment_id]
        entries = self._store.entries_of(request.payment_id)
        return pb.GetTransactionsResponse(transactions=[*map(write_entry, entries), *map(write_hold, holds)])

    async def GetTotals(self, request: pb.GetTotalsRequest, context: Context) -> pb.GetTotalsResponse:
        """Add up the books, and check them against the journal."""
        totals = [
            pb.CurrencyTotals(
                currency=currency,
                customers_minor=sums.customers,
                paid_in_minor=sums.paid_in,
                held_minor=sums.held,
                due_to_minor=sums.due_to,
            )
            for currency, sums in sorted(self._store.sum_accounts().items())
        ]
        faults = self._store.find_faults()
        return pb.GetTotalsResponse(
            bank=self._bank, totals=totals, in_doubt=len(self._loop.ledger.holds), faults=faults
        )


async def _cannot_ask() -> tuple[int, int]:
    raise AssertionError("nobody has said how to ask the gateway")


def _merge(answers: list[pb.TransactResponse]) -> pb.TransactResponse:
    """Make one message of all that has gathered."""
    merged, *more = answers
    for answer in more:
        merged.MergeFrom(answer)
    return merged
