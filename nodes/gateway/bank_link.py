"""The gateway's line to one bank: a long-lived stream of batches, dialled again whenever it breaks.

Whatever the loop's turns hand over while the bank is busy goes out together in the
next message. The channel is made anew for each try, so that a bank that came back on
another address, or with another certificate, is met as it is.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import NamedTuple, TypeAlias

import grpc
from interbank.v1 import bank_pb2 as pb
from interbank.v1 import bank_pb2_grpc
from structlog.typing import FilteringBoundLogger

from nodes.core.messages import Decide, Prepare
from nodes.gateway.conversions import write_decide, write_prepare
from nodes.runtime.call_log import CALLED, CallLog
from nodes.runtime.turns import Inbox

Stream: TypeAlias = "grpc.aio.StreamStreamCall[pb.TransactRequest, pb.TransactResponse]"

_TRANSACT = "/interbank.v1.BankService/Transact"
_OPENING_TIMEOUT_S = 2.0
_RETRY_MAX_S = 1.0
_CALL_TIMEOUT_S = 2.0
_SILENCE_MAX_S = 1.5
"""A bank that owes an answer for this long counts as away: who pays there is told so at once."""
_MESSAGES_UNDER_WAY = 2
"""One that the bank works on, one that waits for it."""
_MESSAGE_ITEMS_MAX = 8192
"""Prepares and decisions in one message: keeps it far below the transport's limit."""


class Batch(NamedTuple):
    """What one turn has for a bank."""

    prepares: list[Prepare]
    decides: list[Decide]


class BankEvents(NamedTuple):
    """Whom to tell what happens on the line."""

    connected: Callable[[str, pb.TransactResponse], None]
    received: Callable[[str, pb.TransactResponse], None]
    disconnected: Callable[[str], None]


class BankLink:
    """One bank, as the gateway reaches it."""

    def __init__(
        self,
        name: str,
        open_channel: Callable[[str, str], grpc.aio.Channel],
        events: BankEvents,
        log: FilteringBoundLogger,
    ) -> None:
        self.name = name
        self.address = ""
        self.is_connected = False
        self.is_tried = asyncio.Event()
        """Set once the bank was reached, or could not be, for the first time."""
        self._sent_number = self._done_number = 0
        self._open_channel = open_channel
        self._events = events
        self._log = log.bind(bank=name)
        self._outgoing: Inbox[Batch] = Inbox()
        self._has_room = asyncio.Event()
        self._dial_now = asyncio.Event()
        self._stub: bank_pb2_grpc.BankServiceAsyncStub | None = None

    def dial(self, address: str) -> None:
        """Reach the bank at ``address`` from now on; at once, unless it is connected there."""
        if self.is_connected and address == self.address:
            return
        self.address = address
        self._dial_now.set()

    def send(self, batch: Batch) -> None:
        """Hand over what a turn has for this bank; dropped when the stream is gone, since it will ask."""
        if self.is_connected:
            self._outgoing.put(batch)

    async def run(self) -> None:
        """Keep a stream open, until cancelled."""
        failures = 0
        while True:
            await self._dial_now.wait()
            self._dial_now.clear()
            try:
                await self._hold_stream()
                failures = 0
            except (grpc.aio.AioRpcError, TimeoutError, ConnectionError) as error:
                failures += 1
                self.is_tried.set()
                self._report(error)
            self._retry_later(failures)

    async def balances(self, user: str) -> pb.GetBalancesResponse:
        """Ask for the accounts of a user."""
        return await self._ask().GetBalances(pb.GetBalancesRequest(user=user), timeout=_CALL_TIMEOUT_S)

    async def transactions(self, payment_id: bytes) -> pb.GetTransactionsResponse:
        """Ask what the bank has on record for a payment id."""
        request = pb.GetTransactionsRequest(payment_id=payment_id)
        return await self._ask().GetTransactions(request, timeout=_CALL_TIMEOUT_S)

    async def totals(self) -> pb.GetTotalsResponse:
        """Ask for the sums of the bank's books."""
        return await self._ask().GetTotals(pb.GetTotalsRequest(), timeout=60)

    def _ask(self) -> "bank_pb2_grpc.BankServiceAsyncStub":
        if self._stub is None:
            raise ConnectionError(f"{self.name} is away")
        return self._stub

    async def _hold_stream(self) -> None:
        async with self._open_channel(self.name, self.address) as channel:
            stub = bank_pb2_grpc.BankServiceStub(channel)
            stream = stub.Transact()
            opening = await asyncio.wait_for(stream.read(), _OPENING_TIMEOUT_S)
            if not isinstance(opening, pb.TransactResponse):
                raise ConnectionError("the stream was closed before its opening message")
            self._log.info("bank_connected", address=self.address, in_doubt=len(opening.in_doubt))
            self._stub = stub
            self._outgoing = Inbox()
            self._sent_number = self._done_number = 0
            self._note_room()
            self.is_connected = True
            self.is_tried.set()
            self._events.connected(self.name, opening)
            lines = CallLog(self._log, CALLED, {"rpc": _TRANSACT})
            lines.opened()
            try:
                await _first_to_end(self._read(stream, lines), self._write(stream, lines), self._watch())
            finally:
                lines.ended()
                self.is_connected = False
                self._stub = None
                self._events.disconnected(self.name)

    async def _read(self, stream: Stream, lines: CallLog) -> None:
        while isinstance(response := await stream.read(), pb.TransactResponse):
            self._done_number = response.done_number
            self._note_room()
            lines.passed(response)
            self._events.received(self.name, response)
        raise ConnectionError("the bank closed the stream")

    async def _write(self, stream: Stream, lines: CallLog) -> None:
        """Send what has gathered, while the bank works on few messages: so batches grow as it gets busy."""
        while True:
            await self._has_room.wait()
            for request in _messages(await self._outgoing.take()):
                self._sent_number += 1
                request.number = self._sent_number
                lines.sent(request)
                await stream.write(request)
            self._note_room()

    def _note_room(self) -> None:
        if self._sent_number - self._done_number < _MESSAGES_UNDER_WAY:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _watch(self) -> None:
        """End the stream of a bank that owes an answer and has been silent for too long."""
        while True:
            sent_number, done_number = self._sent_number, self._done_number
            await asyncio.sleep(_SILENCE_MAX_S)
            if self._done_number == done_number < sent_number:
                raise TimeoutError(f"the bank has been silent for {_SILENCE_MAX_S} s")

    def _report(self, error: Exception) -> None:
        details = (
            f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
        )
        self._log.warning("bank_away", address=self.address, details=details or type(error).__name__)

    def _retry_later(self, failures: int) -> None:
        longest_s = min(_RETRY_MAX_S, 0.05 * 2**failures)
        wait_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311 - jitter, not a secret
        asyncio.get_running_loop().call_later(wait_s, self._dial_now.set)


def _messages(batches: list[Batch]) -> list[pb.TransactRequest]:
    """Write all that has gathered as few messages."""
    prepares = [write_prepare(prepare) for batch in batches for prepare in batch.prepares]
    decides = [write_decide(decide) for batch in batches for decide in batch.decides]
    epoch = next((batch.prepares[0].epoch for batch in batches if batch.prepares), 0)
    return [
        pb.TransactRequest(
            epoch=epoch,
            prepares=prepares[start : start + _MESSAGE_ITEMS_MAX],
            decides=decides[start : start + _MESSAGE_ITEMS_MAX],
        )
        for start in range(0, max(len(prepares), len(decides)), _MESSAGE_ITEMS_MAX)
    ]


async def _first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts side by side until one ends; end the others, and raise what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
