"""A node served over real TLS on loopback, with methods that do as the test says, and ways to call them."""

import asyncio
import json

import grpc
import pytest
from interbank.v1 import access_pb2, bank_pb2, bank_pb2_grpc, payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.access import Login, current_caller
from nodes.runtime.event_log import open_event_log
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.server import NodeServer
from nodes.runtime.tls import dial
from tests.authority import Authority

CODE = grpc.StatusCode
PAYMENTS = "interbank.v1.PaymentService"
LOGGED_IN = ("authorization", "Bearer good")


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    """Answers as the test says."""

    def __init__(self):
        self.entered = []
        self.error = None
        self.is_slow = False

    async def Login(self, request, context):
        self.entered.append(current_caller())
        if self.error is not None:
            raise self.error
        if self.is_slow:
            await asyncio.Event().wait()
        return payment_pb2.LoginResponse(token="a-secret-token", user=request.user)

    async def Pay(self, request, context):
        self.entered.append(current_caller())
        if request.memo == "abort":
            await context.abort(CODE.NOT_FOUND, "by hand")
        return payment_pb2.PayResponse(payment_id=request.payment_id)

    async def PayMany(self, request_iterator, context):
        async for request in request_iterator:
            if self.error is not None:
                raise self.error
            yield payment_pb2.PayManyResponse(results=[payment_pb2.PayResult() for _ in request.payments])


class Banks(bank_pb2_grpc.BankServiceServicer):
    def __init__(self, log):
        self.log = log

    async def GetTransactions(self, request, context):
        self.log.info("looked_up")
        return bank_pb2.GetTransactionsResponse()


class Served:
    def __init__(self, folder):
        self.authority = Authority(folder / "certs")
        self.log = folder / "gateway.log"
        self.payments = Payments()
        self.role = access_pb2.ROLE_CUSTOMER
        tls = self.authority.tls(PeerKind.GATEWAY)
        log = open_event_log(self.log, "gateway")
        self.server = NodeServer("localhost:0", tls, log, authenticate=self.authenticate)
        self.server.add(PAYMENTS, payment_pb2_grpc.add_PaymentServiceServicer_to_server, self.payments)
        self.server.add("interbank.v1.BankService", bank_pb2_grpc.add_BankServiceServicer_to_server, Banks(log))

    def authenticate(self, token, thumbprint):
        if token != "good":
            raise RequestRefused(CODE.UNAUTHENTICATED, "log in again")
        return Login("alice", self.role, "id", 2e9)

    def dial(self, tls):
        return dial(f"localhost:{self.server.port}", tls, self.authority.identity(PeerKind.GATEWAY))

    def client(self):
        return self.dial(self.authority.tls(PeerKind.CLIENT, "shell"))

    async def wait_for(self, event, count=1):
        async with asyncio.timeout(10):
            while len(lines := self.lines(event)) < count:  # noqa: ASYNC110 - a file tells no events
                await asyncio.sleep(0.01)
        return lines

    def lines(self, event):
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] == event]


async def fails(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def login(channel, **fields):
    return payment_pb2_grpc.PaymentServiceStub(channel).Login(payment_pb2.LoginRequest(**fields), timeout=60)


def pay(channel, *metadata):
    stub = payment_pb2_grpc.PaymentServiceStub(channel)
    return stub.Pay(payment_pb2.PayRequest(payment_id="x"), timeout=60, metadata=metadata)
