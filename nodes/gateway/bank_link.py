"""The gateway's line to one bank: a long-lived stream of batches, dialled again whenever it breaks.

Whatever the loop's turns hand over while the bank is busy goes out together in the
next message. The channel is made anew for each try, so that a bank that came back on
another address, or with another certificate, is met as it is.

When the gateway's own certificate or authorities change, another channel and stream are
opened before the old are let go, and take over between two turns. To the rules that is
a connection like any other: the bank says what it holds in doubt, and is told again
what it had not answered; what both streams say is said twice, and changes nothing.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import grpc
from interbank.v1 import bank_pb2 as pb
from interbank.v1 import bank_pb2_grpc
from structlog.typing import FilteringBoundLogger

from nodes.core.chain import Head
from nodes.core.messages import Decide, Prepare
from nodes.core.soundness import Unsound, demand_sound_keys
from nodes.gateway.bank_words import demand_own_balances, demand_own_totals
from nodes.gateway.conversions import read_keys, write_decides, write_prepares
from nodes.gateway.heads import Heads
from nodes.runtime.call_log import CALLED, CallLog
from nodes.runtime.chain_messages import write_head
from nodes.runtime.crash_points import reach
from nodes.runtime.retrying import double_wait
from nodes.runtime.turns import Inbox

Stream: TypeAlias = "grpc.aio.StreamStreamCall[pb.TransactRequest, pb.TransactResponse]"
T = TypeVar("T")

_AWAY = (grpc.aio.AioRpcError, TimeoutError, ConnectionError, Unsound)
_TRANSACT = "/interbank.v1.BankService/Transact"
_OPENING_TIMEOUT_S = 2.0
_RETRY_MAX_S = 1.0
_CALL_TIMEOUT_S = 2.0
_SILENCE_MAX_S = 1.5
"""A bank that owes an answer for this long counts as away: who pays there is told so at once."""
_LAST_ANSWERS_WITHIN_S = 2.0
"""How long a stream that another has replaced is listened to."""
_MESSAGES_UNDER_WAY = 2
"""One that the bank works on, one large one that waits for it."""
_NO_MORE = 2**63
_LINGER_S = 0.006
"""How long a decision waits for prepares to go out with."""

_LARGE_ITEMS = 512
"""Prepares and decisions from which on a message is worth what it costs by itself."""
_MESSAGE_ITEMS_MAX = 8192
"""Prepares and decisions in one message: keeps it far below the transport's limit."""


class Marker(NamedTuple):
    """Asks the bank how its books stand when this comes."""

    cut: int
    keeps_books: bool


class Batch(NamedTuple):
    """What one turn has for a bank."""

    prepares: list[Prepare]
    decides: list[Decide]
    head: Head
    """The gateway's chain after that turn."""
    marker: Marker | None = None


class BankEvents(NamedTuple):
    """Whom to tell what happens on the line."""

    connected: Callable[[str, pb.TransactResponse], None]
    received: Callable[[str, pb.TransactResponse], None]
    disconnected: Callable[[str], None]
    heads: Heads


class HeadsDiffer(ConnectionError):
    """The books of the bank, or of the gateway, are not those that the other has heard of."""


class BankLink:
    """One bank, as the gateway reaches it."""

    def __init__(
        self,
        name: str,
        open_channel: Callable[[str, str], grpc.aio.Channel],
        events: BankEvents,
        log: FilteringBoundLogger,
        *,
        token_keys: Callable[[], Sequence[str]],
    ) -> None:
        self.name = name
        self._token_keys = token_keys
        self.address = ""
        self.difference = ""
        """Why a bank that is there is not dealt with: its books, or the gateway's, are not the newest."""
        self.is_tried = asyncio.Event()
        """Set once the bank was reached, or could not be, for the first time."""
        self._open_channel = open_channel
        self._events = events
        self._log = log.bind(bank=name)
        self._dial_now = asyncio.Event()
        self._renew_now = asyncio.Event()
        self._is_newest = True
        self._stream: _Stream | None = None
        self._retry: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a stream."""
        return self._stream is not None

    @property
    def is_renewed(self) -> bool:
        """Whether nothing is said any more on a stream that was opened before the last renewal."""
        return self._stream is None or self._is_newest

    def dial(self, address: str) -> None:
        """Reach the bank at ``address`` from now on; at once, unless it is connected there."""
        if self.is_connected and address == self.address:
            return
        self.address = address
        self._dial_now.set()

    def renew(self, within_s: float | None = None) -> None:
        """Go over to a new channel, made with the certificate of now; nothing is held up by that.

        If that does not come about ``within_s``, the old one is cut.
        """
        self._renew_now.set()
        self._is_newest = False
        if within_s is not None and self._stream is not None:
            asyncio.get_running_loop().call_later(within_s, self._cut, self._stream)

    def _cut(self, stream: "_Stream") -> None:
        if self._stream is stream:
            stream.break_off("its certificate was revoked, and it does not show another")

    def send(self, batch: Batch) -> None:
        """Hand over what a turn has for this bank; dropped when the stream is gone, since it will ask."""
        if self._stream is not None:
            self._stream.send(batch)

    async def run(self) -> None:
        """Keep a stream open, until cancelled."""
        failures = 0
        while True:
            await self._dial_now.wait()
            self._dial_now.clear()
            if self._retry is not None:
                # Who was asked to dial before that was due has not two lines of tries from then on.
                self._retry.cancel()
            try:
                await self._hold_streams()
                failures = 0
            except _AWAY as error:
                failures += 1
                self.is_tried.set()
                self._report(error)
            self._retry_later(failures)

    async def balances(self, user: str) -> pb.GetBalancesResponse:
        """Ask for the accounts of a user, as they are after all that was decided before."""
        stub = await self._ask()
        response = await stub.GetBalances(pb.GetBalancesRequest(user=user), timeout=_CALL_TIMEOUT_S)
        with self._believing():
            demand_own_balances(self.name, user, response)
        return response

    async def transactions(self, payment_id: bytes) -> pb.GetTransactionsResponse:
        """Ask what the bank has on record for a payment id."""
        stub = await self._ask()
        return await stub.GetTransactions(
            pb.GetTransactionsRequest(payment_id=payment_id), timeout=_CALL_TIMEOUT_S
        )

    async def in_doubt(self) -> pb.ListInDoubtResponse:
        """Ask for all that the bank holds in doubt."""
        return await (await self._ask()).ListInDoubt(pb.ListInDoubtRequest(), timeout=_CALL_TIMEOUT_S)

    async def totals(self) -> pb.GetTotalsResponse:
        """Ask for the sums of the bank's books."""
        stub = await self._ask()
        response = await stub.GetTotals(pb.GetTotalsRequest(), timeout=60)
        with self._believing():
            demand_own_totals(self.name, response)
        return response

    @contextmanager
    def _believing(self) -> Iterator[None]:
        """Take a bank whose answer cannot be its own as one that does not answer; the log says why."""
        try:
            yield
        except Unsound as error:
            self._log.critical("answer_refused", details=str(error))
            raise ConnectionError(f"{self.name} answers what cannot be") from error

    async def _ask(self) -> "bank_pb2_grpc.BankServiceAsyncStub":
        """Return what to ask the bank with, once it has carried out what was decided before now."""
        stream = self._stream
        if stream is None:
            raise ConnectionError(f"{self.name} is away")
        try:
            await asyncio.wait_for(stream.settle(), _CALL_TIMEOUT_S)
        except TimeoutError as error:
            raise ConnectionError(f"{self.name} does not answer") from error
        return stream.stub

    async def _hold_streams(self) -> None:
        """Hold a stream, and after each renewal another in its place, until one breaks."""
        self._renew_now.clear()
        tasks: set[asyncio.Task[None]] = set()
        opened = await self._open_stream()
        try:
            while True:
                carrying = asyncio.create_task(self._take(*opened))
                tasks.add(carrying)
                carrying.add_done_callback(lambda ended: _forget(ended, tasks))
                opened = await _unless_ended(carrying, self._open_next())
                reach("gateway.line.renewed")
                # No turn comes between: all that is said from here on goes out on the new stream.
                self._end_stream()
        finally:
            self._stream = None
            self._events.disconnected(self.name)
            reach("gateway.line.lost")
            await _cancel(*tasks)

    def _take(self, stream: "_Stream", opening: pb.TransactResponse) -> Coroutine[None, None, None]:
        """Send on ``stream`` from now on; returns what carries it."""
        reach("gateway.line.opened")
        self._log.info("bank_connected", address=self.address, in_doubt=len(opening.in_doubt))
        self._stream = stream
        # Not if it was renewed once more while this was opened: then another is on its way.
        self._is_newest = not self._renew_now.is_set()
        self.is_tried.set()
        self._events.connected(self.name, opening)
        return stream.carry()

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.end()

    async def _open_next(self) -> "tuple[_Stream, pb.TransactResponse]":
        """Wait for a renewal, and open the stream that takes over; the old one carries on until that succeeds."""
        await self._renew_now.wait()
        while True:
            self._renew_now.clear()
            try:
                return await self._open_stream()
            except _AWAY as error:
                self._report(error)
                await asyncio.sleep(_RETRY_MAX_S)

    async def _open_stream(self) -> "tuple[_Stream, pb.TransactResponse]":
        channel = self._open_channel(self.name, self.address)
        received = partial(self._events.received, self.name)
        try:
            await self._compare_heads(bank_pb2_grpc.BankServiceStub(channel))
            stream = _Stream(channel, received, self._log, self._token_keys)
            return stream, await stream.open()
        except BaseException:
            await channel.close()
            raise

    async def _compare_heads(self, stub: "bank_pb2_grpc.BankServiceAsyncStub") -> None:
        """Have nothing to do with a bank when its books, or ours, are not those that the other knows."""
        request = pb.CompareHeadsRequest(number=self._events.heads.heard_number(self.name))
        response = await stub.CompareHeads(request, timeout=_OPENING_TIMEOUT_S)
        self.difference = self._events.heads.find_difference(self.name, response)
        if self.difference:
            raise HeadsDiffer(self.difference)

    def _report(self, error: Exception) -> None:
        details = (
            f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
        )
        write = self._log.critical if isinstance(error, HeadsDiffer) else self._log.warning
        write("bank_away", address=self.address, details=details or type(error).__name__)

    def _retry_later(self, failures: int) -> None:
        longest_s = double_wait(0.05, failures, _RETRY_MAX_S)
        wait_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311 - jitter, not a secret
        self._retry = asyncio.get_running_loop().call_later(wait_s, self._dial_now.set)


class _Stream:
    """One stream on a channel of its own: `open` it, then `carry` what goes both ways."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        received: Callable[[pb.TransactResponse], None],
        log: FilteringBoundLogger,
        token_keys: Callable[[], Sequence[str]],
    ) -> None:
        self._token_keys = token_keys
        self.stub = bank_pb2_grpc.BankServiceStub(channel)
        self._outgoing: Inbox[Batch | None] = Inbox()
        self._waiting_items = 0
        self._channel = channel
        self._call: Stream = self.stub.Transact()
        self._received = received
        self._lines = CallLog(log, CALLED, {"rpc": _TRANSACT})
        self._sent_number = self._done_number = self._answered = 0
        self._is_due = False
        self._is_ending = False
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lingering: asyncio.TimerHandle | None = None
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        self._settling_next: list[asyncio.Future[None]] = []
        self._has_room = asyncio.Event()

    async def open(self) -> pb.TransactResponse:
        """Return what the bank says first."""
        opening = await asyncio.wait_for(self._call.read(), _OPENING_TIMEOUT_S)
        if not isinstance(opening, pb.TransactResponse):
            raise ConnectionError("the stream was closed before its opening message")
        demand_sound_keys(read_keys(opening.in_doubt))
        return opening

    async def carry(self) -> None:
        """Send what is handed over and hand on what comes, until the stream breaks, or is at its end."""
        self._lines.opened()
        try:
            await _first_to_end(self._read(), self._write(), self._watch(), self._wait_for_break())
        finally:
            self._lines.ended()
            self._note_taken(0)
            self._note_done(_NO_MORE)
            self._call.cancel()
            # Unary calls that were begun on it may end; on a stream that broke nothing will.
            await self._channel.close(_CALL_TIMEOUT_S if self._is_ending else None)

    def break_off(self, reason: str) -> None:
        """End the stream where it is."""
        if not self._broken.done():
            self._broken.set_exception(ConnectionError(reason))

    def end(self) -> None:
        """Send no more than has gathered; what the bank still answers is handed on."""
        self._is_ending = True
        self._outgoing.put(None)
        self._note_room()

    def send(self, batch: Batch) -> None:
        """Let a batch go out, with all that gathers until there is room for it.

        Decisions wait a moment for prepares to go out with: nobody else waits for them.
        """
        self._outgoing.put(batch)
        self._waiting_items += len(batch.prepares) + len(batch.decides)
        if batch.prepares or batch.marker or self._waiting_items >= _LARGE_ITEMS:
            self._be_due()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(_LINGER_S, self._be_due)

    async def settle(self) -> None:
        """Return once the bank has carried out all that was handed over before, or never will."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._outgoing):
            self._settling_next.append(settled)
            self._be_due()
        elif self._done_number < self._sent_number:
            self._settling.append((self._sent_number, settled))
        else:
            return
        await settled

    async def _read(self) -> None:
        while isinstance(response := await self._call.read(), pb.TransactResponse):
            if response.done_number and not response.votes.payment_ids:
                reach("gateway.decision.confirmed")
            self._demand_asked(response.done_number)
            self._note_done(response.done_number)
            self._lines.passed(response)
            self._received(response)
        raise ConnectionError("the bank closed the stream")

    def _demand_asked(self, done_number: int) -> None:
        """Break with a bank that answers more than it was sent: it could keep the gateway busy without end."""
        self._answered += 1
        if max(self._answered, done_number) > self._sent_number:
            raise ConnectionError("the bank answers what it was not asked")

    async def _write(self) -> None:
        """Send what has gathered, as soon as there is room for it."""
        gathered: list[Batch | None] = []
        while not gathered or gathered[-1] is not None:
            await self._has_room.wait()
            gathered = await self._outgoing.take()
            messages = _messages([batch for batch in gathered if batch is not None])
            self._note_taken(len(messages))
            for number, request in enumerate(messages, self._sent_number - len(messages) + 1):
                request.number = number
                if request.prepares.payment_ids:
                    request.token_keys.extend(self._token_keys())
                self._lines.sent(request)
                await self._send(request)
                reach(
                    "gateway.prepare.sent-to-one"
                    if request.prepares.payment_ids
                    else "gateway.decision.sent-to-one"
                )
        await self._call.done_writing()
        await asyncio.sleep(_LAST_ANSWERS_WITHIN_S)

    async def _wait_for_break(self) -> None:
        await self._broken

    async def _send(self, request: pb.TransactRequest) -> None:
        try:
            await self._call.write(request)
        except asyncio.InvalidStateError as error:
            # What gRPC raises when the call has ended and its reader has not been told yet.
            raise ConnectionError("the stream has ended") from error

    def _be_due(self) -> None:
        self._is_due = True
        self._note_room()

    def _note_taken(self, messages: int) -> None:
        """Count the messages that what had gathered has become."""
        self._sent_number += messages
        self._settling += [(self._sent_number, settled) for settled in self._settling_next]
        self._settling_next.clear()
        self._waiting_items = 0
        self._is_due = False
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._note_done(self._done_number)

    def _note_done(self, number: int) -> None:
        """Take note that the bank has carried out the messages up to ``number``."""
        self._done_number = number
        for last_number, settled in self._settling:
            if last_number <= number and not settled.done():
                settled.set_result(None)
        self._settling = [waits for waits in self._settling if not waits[1].done()]
        self._note_room()

    def _note_room(self) -> None:
        """Let a small message wait while another is under way, so that it grows (Nagle, RFC 896)."""
        under_way = self._sent_number - self._done_number
        is_large = self._waiting_items >= _LARGE_ITEMS
        has_room = not under_way or (is_large and under_way < _MESSAGES_UNDER_WAY)
        if self._is_ending or (self._is_due and has_room):
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


def _messages(batches: list[Batch]) -> list[pb.TransactRequest]:
    """Write all that has gathered as few messages; none reaches past a marker."""
    messages: list[pb.TransactRequest] = []
    start = 0
    for end, batch in enumerate(batches, 1):
        if batch.marker is None and end < len(batches):
            continue
        merged = _merge(batches[start:end])
        if batch.marker is not None:
            merged = merged or [pb.TransactRequest()]
            merged[-1].cut, merged[-1].keep_books = batch.marker
        if merged:
            merged[-1].head.CopyFrom(write_head(batch.head))
        messages += merged
        start = end
    return messages


def _merge(batches: list[Batch]) -> list[pb.TransactRequest]:
    prepares = [prepare for batch in batches for prepare in batch.prepares]
    decides = [decide for batch in batches for decide in batch.decides]
    epoch = next((batch.prepares[0].epoch for batch in batches if batch.prepares), 0)
    return [
        pb.TransactRequest(
            epoch=epoch,
            prepares=write_prepares(prepares[start : start + _MESSAGE_ITEMS_MAX]),
            decides=write_decides(decides[start : start + _MESSAGE_ITEMS_MAX]),
        )
        for start in range(0, max(len(prepares), len(decides)), _MESSAGE_ITEMS_MAX)
    ]


async def _unless_ended(carrying: "asyncio.Task[None]", opening: Coroutine[None, None, T]) -> T:
    """Return what ``opening`` brings; if ``carrying`` ends before, end it, and raise what that raised."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait([carrying, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        carrying.result()
        raise ConnectionError("the stream is at its end")
    finally:
        await _cancel(task)


async def _first_to_end(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts side by side until one ends; end the others, and raise what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        await _cancel(*tasks)


def _forget(ended: "asyncio.Task[None]", tasks: "set[asyncio.Task[None]]") -> None:
    """Let go of a stream that has ended; how, is of interest to whoever still waits for it alone."""
    tasks.discard(ended)
    if not ended.cancelled():
        ended.exception()


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
