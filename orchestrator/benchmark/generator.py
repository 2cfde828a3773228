"""The program that pays: ``python -m orchestrator.benchmark.generator``, an `Order` on its standard input.

It logs its users in, says so, waits for a line, and pays until its time is over: each
caller sends the next payment as soon as the last is answered, so that the load is as
high as the cluster lets it be, and no higher.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import uuid_utils
from interbank.v1 import payment_pb2 as pb
from interbank.v1 import payment_pb2_grpc

from nodes.core.messages import Reason
from nodes.core.names import Identity, PeerKind
from nodes.runtime.lifeline import end_with_parent
from nodes.runtime.tls import TlsFiles, dial, load_tls
from orchestrator.benchmark.loads import Call
from orchestrator.benchmark.orders import COMMITTED, MEASURED, MEASURING, READY, Order, Tally
from orchestrator.benchmark.routes import Route, circle, draw_routes

_CALL_TIMEOUT_S = 10.0
_PAUSE_AFTER_FAILURE_S = 0.05
_SLOTS_PER_S = 10

Metadata = list[tuple[str, str]]
Requests = Iterator[pb.PayRequest]
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


class Caller:
    """One caller: a user's login, and the payments to make."""

    def __init__(
        self,
        stub: "payment_pb2_grpc.PaymentServiceAsyncStub",
        login: Metadata,
        requests: Requests,
        recorder: Recorder,
    ) -> None:
        self._stub = stub
        self._login = login
        self._requests = requests
        self._recorder = recorder
        self._open = 0

    async def pay_one_by_one(self, _: int) -> None:
        """Pay by unary calls until it is over."""
        while not self._recorder.is_over:
            request, sent_s = next(self._requests), time.perf_counter()
            try:
                answer = await self._stub.Pay(request, timeout=_CALL_TIMEOUT_S, metadata=self._login)
                self._recorder.record(name_outcome(answer), sent_s)
            except grpc.aio.AioRpcError as error:
                self._recorder.record(f"failed: {error.code().name}", sent_s)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)

    async def pay_by_messages(self, batch: int) -> None:
        """Pay on one stream, a message of ``batch`` payments at a time, until it is over."""
        call = self._stub.PayMany(metadata=self._login)
        while not self._recorder.is_over:
            payments = list(itertools.islice(self._requests, batch))
            sent_s, self._open = time.perf_counter(), batch
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
        """Read until every payment of the message has its result."""
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


_WAYS: dict[Call, Callable[[Caller, int], Coroutine[Any, Any, None]]] = {
    Call.UNARY: Caller.pay_one_by_one,
    Call.STREAM: Caller.pay_by_messages,
}


async def generate(order: Order) -> Tally:
    """Carry an order out; returns when all that was sent has ended."""
    tls = load_tls(TlsFiles(Path(order.ca), Path(order.certificate), Path(order.key)), kind=PeerKind.CLIENT)
    gateway = Identity(tls.identity.cluster, PeerKind.GATEWAY)
    async with dial(order.address, tls, gateway) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        logins = [await _log_in(stub, payer, order.password) for payer in order.payers]
        requests = [write_requests(_routes_of(payer, order), order.currency) for payer in order.payers]
        recorder = Recorder()
        callers = [
            Caller(stub, logins[number % len(logins)], requests[number % len(requests)], recorder)
            for number in range(order.callers)
        ]
        await _say_and_wait(READY)
        tasks = [asyncio.create_task(_WAYS[order.call](caller, order.batch)) for caller in callers]
        await asyncio.sleep(order.warm_up_s)
        _say(MEASURING)
        recorder.begin()
        await asyncio.sleep(order.for_s)
        recorder.end()
        _say(MEASURED)
        await asyncio.gather(*tasks)
    return recorder.tally


def _routes_of(payer: str, order: Order) -> Iterator[Route]:
    return draw_routes(payer, order.payees, order.banks) if order.payees else circle(payer, order.banks)


async def _log_in(stub: "payment_pb2_grpc.PaymentServiceAsyncStub", user: str, password: str) -> Metadata:
    answer = await stub.Login(pb.LoginRequest(user=user, password=password), timeout=_CALL_TIMEOUT_S)
    return [("authorization", f"Bearer {answer.token}")]


async def _say_and_wait(word: str) -> None:
    _say(word)
    await asyncio.to_thread(sys.stdin.readline)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run an order to its end; what went wrong is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.benchmark.generator", description=__doc__)
    parser.add_argument("--lifeline-fd", type=int)
    end_with_parent(parser.parse_args().lifeline_fd)
    try:
        tally = asyncio.run(generate(Order.from_json(sys.stdin.readline())))
    except grpc.aio.AioRpcError as error:
        sys.stderr.write(f"{error.code().name}: {error.details()}\n")
        return 1
    _say(json.dumps(tally.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
