"""The caller's side of the log: what left, what came back, nothing secret, and ids that both sides share."""

import asyncio
import json

import grpc
import pytest
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.client_calls import BlockingClientCalls, ClientCalls
from nodes.runtime.event_log import open_event_log, use_context
from nodes.runtime.tls import dial, dial_blocking
from tests.authority import CLUSTER
from tests.runtime.served import LOGGED_IN, fails, login, pay


class Calling:
    """The far end of a served node: a client with a log of its own."""

    def __init__(self, served, folder):
        self.path = folder / "shell.log"
        self.log = open_event_log(self.path, "shell")
        self.peer = served.authority.identity(PeerKind.GATEWAY)
        self.where = f"localhost:{served.server.port}"
        self.tls = served.authority.tls(PeerKind.CLIENT, "shell")

    def dial(self):
        return dial(self.where, self.tls, self.peer, interceptors=[ClientCalls(self.log, self.peer)])

    def dial_blocking(self):
        interceptors = [BlockingClientCalls(self.log, self.peer)]
        return dial_blocking(self.where, self.tls, self.peer, interceptors=interceptors)

    def lines(self, event):
        return [line for line in map(json.loads, self.path.read_text().splitlines()) if line["event"] == event]


@pytest.fixture
def calling(served, tmp_path):
    return Calling(served, tmp_path)


async def test_a_call_and_its_answer_are_logged_with_whom_and_without_secrets(calling):
    async with calling.dial() as channel:
        await login(channel, user="alice", password="hunter2")
    [call], [answer] = calling.lines("call"), calling.lines("answer")
    assert (call["user"], call["password"], call["peer"]) == ("alice", "***", f"{CLUSTER}/gateway")
    assert (answer["code"], answer["token"], answer["peer"]) == ("OK", "***", f"{CLUSTER}/gateway")
    assert answer["duration_ms"] > 0
    for secret in ("hunter2", "a-secret-token"):
        assert secret not in calling.path.read_text()


async def test_both_sides_log_one_request_id_that_of_the_call_that_it_is_made_for(served, calling):
    async with calling.dial() as channel:
        await pay(channel, LOGGED_IN)
        use_context({"request_id": "outer-1"})
        await pay(channel, LOGGED_IN)
    ids = [line["request_id"] for line in calling.lines("call")]
    assert ids == [line["request_id"] for line in served.lines("request")]
    assert ids[1] == "outer-1"
    assert [line["payment_id"] for line in calling.lines("answer")] == ["x", "x"]


async def test_a_call_that_fails_says_how(calling):
    async with calling.dial() as channel:
        refused = await fails(pay(channel))
    [answer] = calling.lines("answer")
    assert (answer["code"], answer["details"]) == ("UNAUTHENTICATED", refused.details())


async def test_a_call_that_is_left_says_so(served, calling):
    served.payments.is_slow = True
    async with calling.dial() as channel:
        call = asyncio.ensure_future(login(channel, user="alice"))
        await served.wait_for("request")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert [line["code"] for line in calling.lines("answer")] == ["CANCELLED"]


async def test_blocking_calls_are_logged_alike(served, calling):
    def call():
        with calling.dial_blocking() as channel:
            stub = payment_pb2_grpc.PaymentServiceStub(channel)
            stub.Login(payment_pb2.LoginRequest(user="alice", password="hunter2"), timeout=5)
            with pytest.raises(grpc.RpcError):
                stub.Pay(payment_pb2.PayRequest(payment_id="x"), timeout=5)

    await asyncio.to_thread(call)
    assert [line["code"] for line in calling.lines("answer")] == ["OK", "UNAUTHENTICATED"]
    ids = [line["request_id"] for line in calling.lines("answer")]
    assert ids == [line["request_id"] for line in served.lines("request")]
    assert "hunter2" not in calling.path.read_text()
