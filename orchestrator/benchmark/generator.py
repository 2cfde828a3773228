"""The program that pays: ``python -m orchestrator.benchmark.generator``, an `Order` on its standard input.

It logs its users in, says so, waits for a line, and pays until its time is over: each
caller sends the next payment as soon as the last is answered, so that the load is as
high as the cluster lets it be, and no higher.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from pathlib import Path

import grpc
from interbank.v1 import payment_pb2 as pb
from interbank.v1 import payment_pb2_grpc

from nodes.client import AsyncClient, ClientError
from nodes.core.names import Identity, PeerKind
from nodes.runtime.lifeline import end_with_parent
from nodes.runtime.tls import Tls, TlsFiles, dial, load_tls
from orchestrator.benchmark.callers import (
    Caller,
    ClientCaller,
    Metadata,
    Recorder,
    StreamCaller,
    UnaryCaller,
    write_requests,
)
from orchestrator.benchmark.loads import Call
from orchestrator.benchmark.orders import MEASURED, MEASURING, READY, Order, Tally
from orchestrator.benchmark.routes import Route, circle, draw_routes

_LOGIN_TIMEOUT_S = 10.0


async def generate(order: Order) -> Tally:
    """Carry an order out; returns when all that was sent has ended."""
    tls = load_tls(TlsFiles(Path(order.ca), Path(order.certificate), Path(order.key)), kind=PeerKind.CLIENT)
    recorder = Recorder()
    open_callers = _open_clients if order.call is Call.CLIENT else _open_plain
    async with open_callers(order, tls, recorder) as callers:
        await _say_and_wait(READY)
        tasks = [asyncio.create_task(caller.pay_until_over()) for caller in callers]
        await asyncio.sleep(order.warm_up_s)
        _say(MEASURING)
        recorder.begin()
        await asyncio.sleep(order.for_s)
        recorder.end()
        _say(MEASURED)
        await asyncio.gather(*tasks)
    return recorder.tally


@asynccontextmanager
async def _open_plain(order: Order, tls: Tls, recorder: Recorder) -> AsyncIterator[list[Caller]]:
    """Give callers that call the gateway themselves, on one channel, as the payers in turn."""
    gateway = Identity(tls.identity.cluster, PeerKind.GATEWAY)
    async with dial(order.address, tls, gateway) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        users = [
            (await _log_in(stub, payer, order.password), write_requests(_routes_of(payer, order), order.currency))
            for payer in order.payers
        ]
        callers: list[Caller] = []
        for login, requests in islice(cycle(users), order.callers):
            if order.call is Call.STREAM:
                callers.append(StreamCaller(stub, login, requests, recorder, order.batch))
            else:
                callers.append(UnaryCaller(stub, login, requests, recorder))
        yield callers


@asynccontextmanager
async def _open_clients(order: Order, tls: Tls, recorder: Recorder) -> AsyncIterator[list[Caller]]:
    """Give callers that share the client library's line, one for each payer."""
    async with AsyncExitStack() as stack:
        users = []
        for payer in order.payers:
            client = await stack.enter_async_context(AsyncClient(order.address, tls))
            await client.log_in(payer, order.password)
            users.append((client, _routes_of(payer, order)))
        yield [
            ClientCaller(client, routes, order.currency, recorder)
            for client, routes in islice(cycle(users), order.callers)
        ]


def _routes_of(payer: str, order: Order) -> Iterator[Route]:
    return draw_routes(payer, order.payees, order.banks) if order.payees else circle(payer, order.banks)


async def _log_in(stub: "payment_pb2_grpc.PaymentServiceAsyncStub", user: str, password: str) -> Metadata:
    answer = await stub.Login(pb.LoginRequest(user=user, password=password), timeout=_LOGIN_TIMEOUT_S)
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
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say(json.dumps(tally.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
