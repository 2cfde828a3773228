"""Callers: each pays in its way, the next as soon as the last is answered, until the recorder says it is over."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import grpc
import uuid_utils
from interbank.v1 import payment_pb2 as pb
from interbank.v1 import payment_pb2_grpc

from nodes.client import AsyncClient, ClientError, PaymentRequest
from nodes.core.messages import Reason
from orchestrator.benchmark.orders import COMMITTED, Tally
from orchestrator.benchmark.routes import Route

_CALL_TIMEOUT_S = 10.0
_PAUSE_AFTER_FAILURE_S = 0.05
_SLOTS_PER_S = 10

Metadata = list[tuple[str, str]]
Stream = Any
"""A PayMany call under way."""


class Recorder:
    """Counts how payments end; only what ends between `begin` and `end` is measured."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.is_over = False
        self._from_s = self._to_s = float("inf")

    def begin(self) -> None:
        """From now on it counts."""
        self._from_s = time.perf_counter()

    def end(self) -> None:
        """Count no more; callers are to stop."""
        self._to_s = time.perf_counter()
        self.is_over = True
        self.tally.measured_s = self._to_s - self._from_s

    def record(self, outcome: str, sent_s: float, count: int = 1) -> None:
        """Count payments that were sent at ``sent_s`` and have ended now."""
        now_s = time.perf_counter()
        self.tally.outcomes[outcome] += count
        if outcome == COMMITTED and self._from_s <= now_s < self._to_s:
            self.tally.latencies.add(now_s - sent_s, count)
            self.tally.timeline[int((now_s - self._from_s) * _SLOTS_PER_S)] += count


def write_requests(routes: Iterable[Route], currency: str) -> Iterator[pb.PayRequest]:
    """Yield a payment of one minor unit along each route, each with a new id."""
    for payer_account, payee_account in routes:
        yield pb.PayRequest(
            payment_id=str(uuid_utils.uuid7()),
            payer_account=payer_account,
            payee_account=payee_account,
            amount_minor=1,
            currency=currency,
        )


def name_outcome(answer: pb.PayResponse | pb.PayResult) -> str:
    """Say how a payment ended."""
    if answer.outcome == pb.OUTCOME_COMMITTED:
        return COMMITTED
    return f"declined: {Reason(answer.reason).name.lower()}"


class Caller(Protocol):
    """One that pays."""

    async def pay_until_over(self) -> None:
        """Pay until the recorder is over; returns when all that was sent has ended."""


class UnaryCaller:
    """Pays by unary calls."""

    def __init__(
        self,
        stub: "payment_pb2_grpc.PaymentServiceAsyncStub",
        login: Metadata,
        requests: Iterator[pb.PayRequest],
        recorder: Recorder,
    ) -> None:
        self._stub = stub
        self._login = login
        self._requests = requests
        self._recorder = recorder

    async def pay_until_over(self) -> None:
        """Pay one after another."""
        while not self._recorder.is_over:
            request, sent_s = next(self._requests), time.perf_counter()
            try:
                answer = await self._stub.Pay(request, timeout=_CALL_TIMEOUT_S, metadata=self._login)
                self._recorder.record(name_outcome(answer), sent_s)
            except grpc.aio.AioRpcError as error:
                self._recorder.record(f"failed: {error.code().name}", sent_s)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)


class ClientCaller:
    """Pays with a client that is shared with others, and gathers what they ask for at the same time."""

    def __init__(self, client: AsyncClient, routes: Iterator[Route], currency: str, recorder: Recorder) -> None:
        self._client = client
        self._routes = routes
        self._currency = currency
        self._recorder = recorder

    async def pay_until_over(self) -> None:
        """Pay one after another."""
        while not self._recorder.is_over:
            request = PaymentRequest(str(uuid_utils.uuid7()), *next(self._routes), 1, self._currency)
            sent_s = time.perf_counter()
            try:
                result = await self._client.pay(request)
                ended = COMMITTED if result.outcome == COMMITTED else f"declined: {result.reason}"
                self._recorder.record(ended, sent_s)
            except ClientError as error:
                self._recorder.record(f"failed: {type(error).__name__}", sent_s)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)


class StreamCaller:
    """Pays on a stream of its own, a message of many payments at a time."""

    def __init__(
        self,
        stub: "payment_pb2_grpc.PaymentServiceAsyncStub",
        login: Metadata,
        requests: Iterator[pb.PayRequest],
        recorder: Recorder,
        batch: int,
    ) -> None:
        self._stub = stub
        self._login = login
        self._requests = requests
        self._recorder = recorder
        self._batch = batch
        self._open = 0

    async def pay_until_over(self) -> None:
        """Send the next message when every payment of the last has its result."""
        call = self._stub.PayMany(metadata=self._login)
        while not self._recorder.is_over:
            payments = list(islice(self._requests, self._batch))
            sent_s, self._open = time.perf_counter(), self._batch
            try:
                await call.write(pb.PayManyRequest(payments=payments))
                await self._read_results(call, sent_s)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, EOFError) as error:
                why = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "the stream has ended"
                self._recorder.record(f"failed: {why}", sent_s, self._open)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
                call = self._stub.PayMany(metadata=self._login)
        await call.done_writing()

    async def _read_results(self, call: Stream, sent_s: float) -> None:
        while self._open:
            response = await call.read()
            if not isinstance(response, pb.PayManyResponse):
                raise EOFError
            self._open -= len(response.results)
            committed = sum(result.outcome == pb.OUTCOME_COMMITTED for result in response.results)
            if committed:
                self._recorder.record(COMMITTED, sent_s, committed)
            if committed < len(response.results):
                self._record_others(response, sent_s)

    def _record_others(self, response: pb.PayManyResponse, sent_s: float) -> None:
        for result in response.results:
            if result.HasField("refused"):
                self._recorder.record(f"failed: {result.refused.message}", sent_s)
            elif result.outcome != pb.OUTCOME_COMMITTED:
                self._recorder.record(name_outcome(result), sent_s)
