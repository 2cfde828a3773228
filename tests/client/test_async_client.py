"""Payments on one stream, told from what goes out on it and what comes back; the gateway is played by hand."""

import asyncio
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from interbank.v1 import payment_pb2 as pb

from nodes.client import (
    AsyncClient,
    NotLoggedIn,
    OutcomeUnknown,
    PaymentRequest,
    SharedClient,
    async_client,
    new_payment_id,
)
from nodes.client.errors import IdUsed, Overloaded
from nodes.core.names import Identity, PeerKind
from nodes.runtime.rpc import REQUEST_ID_KEY

WITHIN_S = 30.0
TLS = SimpleNamespace(identity=Identity("test.local", PeerKind.CLIENT))


class Stream:
    """One stream: ``sent`` is what goes out, by amount; `answer` and `break_off` are the gateway's part."""

    def __init__(self, metadata) -> None:
        self.token = dict(metadata).get("authorization", "")
        self.sent: list[list[int]] = []
        self.fails_to_write = False
        self.is_ready = asyncio.Event()
        self.is_ready.set()
        self._requests: list[pb.PayRequest] = []
        self._responses: asyncio.Queue = asyncio.Queue()

    async def initial_metadata(self):
        return [(REQUEST_ID_KEY, "1")]

    async def write(self, message):
        await self.is_ready.wait()
        self._requests += message.payments
        self.sent.append([payment.amount_minor for payment in message.payments])
        if self.fails_to_write:
            raise asyncio.InvalidStateError("the call has ended")

    async def read(self):
        said = await self._responses.get()
        if isinstance(said, Exception):
            raise said
        return said

    def cancel(self):
        pass

    def answer(self) -> None:
        """Commit all that has come."""
        results = [
            pb.PayResult(payment_id=each.payment_id, outcome=pb.OUTCOME_COMMITTED) for each in self._requests
        ]
        self._responses.put_nowait(pb.PayManyResponse(results=results))

    def break_off(self, code=grpc.StatusCode.UNAVAILABLE) -> None:
        empty = grpc.aio.Metadata()
        self._responses.put_nowait(grpc.aio.AioRpcError(code, empty, empty, "the gateway is gone"))


class Gateway:
    """A channel and a stub at once; every stream that is opened is kept."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.logins: list[str] = []
        self.is_reachable = True

    def get_state(self, **_):
        return grpc.ChannelConnectivity.READY if self.is_reachable else grpc.ChannelConnectivity.CONNECTING

    async def wait_for_state_change(self, _):
        await asyncio.sleep(0.01)

    async def close(self):
        pass

    def PayMany(self, *, metadata):
        self.streams.append(Stream(metadata))
        return self.streams[-1]

    async def Login(self, request, **_):
        self.logins.append(request.user)
        return pb.LoginResponse(user=request.user, token=f"token of {request.user}")

    async def Logout(self, _, **__):
        return pb.LogoutResponse()


@pytest.fixture
def gateway(monkeypatch):
    gateway = Gateway()
    monkeypatch.setattr(async_client, "dial", lambda *_: gateway)
    monkeypatch.setattr(async_client.payment_pb2_grpc, "PaymentServiceStub", lambda channel: channel)
    return gateway


@pytest.fixture
async def client(gateway):
    async with AsyncClient("nowhere", TLS) as client:
        await client.log_in("alice", "pw")
        yield client


def request(amount_minor: int, payment_id: str = "", payee: str = "bob@HDFC") -> PaymentRequest:
    return PaymentRequest(payment_id or new_payment_id(), "alice@ICICI", payee, amount_minor, "INR")


def begin(client: AsyncClient, asked: PaymentRequest, timeout_s: float = WITHIN_S):
    return asyncio.ensure_future(client.pay(asked, timeout_s))


async def until(is_so):
    ends_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < ends_s
        await asyncio.sleep(0.005)


async def has_sent(gateway: Gateway, *amounts: int, stream: int = 0) -> Stream:
    """Wait until a stream has carried these amounts, in this order; return it."""
    await until(lambda: len(gateway.streams) > stream)
    found = gateway.streams[stream]
    await until(lambda: [amount for each in found.sent for amount in each] == list(amounts))
    return found


async def test_all_that_waits_goes_out_in_as_many_messages_as_it_takes(client, gateway, monkeypatch):
    monkeypatch.setattr(async_client, "_MESSAGE_ITEMS_MAX", 2)
    paying = [begin(client, request(number)) for number in range(1, 6)]
    stream = await has_sent(gateway, 1, 2, 3, 4, 5)
    assert max(map(len, stream.sent)) == 2
    stream.answer()
    assert {(await each).outcome for each in paying} == {"committed"}


@pytest.mark.parametrize("other", [{"amount_minor": 8}, {"amount_minor": 7, "payee": "eve@HDFC"}])
async def test_an_answer_that_comes_late_is_never_taken_for_that_of_another_payment(client, gateway, other):
    asked = request(7)
    with pytest.raises(OutcomeUnknown, match="did not answer in time"):
        await client.pay(asked, 0.01)
    with pytest.raises(IdUsed):
        await client.pay(request(**other, payment_id=asked.payment_id))
    again = begin(client, asked)
    (await has_sent(gateway, 7)).answer()
    assert (await again).outcome == "committed"
    assert gateway.streams[0].sent == [[7]], "it is sent once"


async def test_a_caller_with_less_time_leaves_the_others_theirs(client, gateway):
    asked = request(7)
    patient, hasty = begin(client, asked), begin(client, asked, 0.01)
    await has_sent(gateway, 7)
    with pytest.raises(OutcomeUnknown):
        await client.pay(request(9), 0.05)  # the time of the hasty one is long over by then
    (await has_sent(gateway, 7, 9)).answer()
    assert (await patient).outcome == (await hasty).outcome == "committed"


async def test_what_had_left_is_unknown_when_the_stream_breaks_and_what_had_not_goes_out_on_the_next(
    client, gateway, monkeypatch
):
    monkeypatch.setattr(async_client, "_MESSAGE_ITEMS_MAX", 1)
    first = begin(client, request(1))
    stream = await has_sent(gateway, 1)
    stream.is_ready.clear()
    on_its_way, waiting = begin(client, request(2)), begin(client, request(3))
    await until(lambda: len(client._waiting) == 1)
    stream.break_off()
    for each in (first, on_its_way):
        with pytest.raises(OutcomeUnknown, match="the stream broke"):
            await each
    (await has_sent(gateway, 3, stream=1)).answer()
    assert (await waiting).outcome == "committed"


async def test_what_a_failing_write_may_have_carried_is_unknown_and_sent_no_second_time(client, gateway):
    gateway.is_reachable = False
    paying = begin(client, request(1))
    await until(lambda: gateway.streams)
    gateway.streams[0].fails_to_write = True
    gateway.is_reachable = True
    (await has_sent(gateway, 1)).break_off()
    with pytest.raises(OutcomeUnknown, match="the stream broke"):
        await paying
    later = begin(client, request(2))
    (await has_sent(gateway, 2, stream=1)).answer()
    await later


async def test_a_gateway_that_takes_no_more_has_not_begun_what_it_left_unanswered(client, gateway):
    paying = begin(client, request(1))
    (await has_sent(gateway, 1)).break_off(grpc.StatusCode.RESOURCE_EXHAUSTED)
    with pytest.raises(Overloaded):
        await paying


async def test_what_was_given_up_before_it_left_never_leaves(client, gateway):
    gateway.is_reachable = False
    with pytest.raises(OutcomeUnknown, match="did not answer in time"):
        await client.pay(request(1), 0.01)
    gateway.is_reachable = True
    later = begin(client, request(2))
    (await has_sent(gateway, 2)).answer()
    await later


async def test_what_one_user_left_unsent_does_not_go_out_with_the_login_of_the_next(client, gateway):
    gateway.is_reachable = False
    left = begin(client, request(1))
    await until(lambda: gateway.streams)
    await client.log_in("bob", "pw")
    with pytest.raises(OutcomeUnknown, match="has hung up"):
        await left
    gateway.is_reachable = True
    paying = begin(client, request(2))
    stream = await has_sent(gateway, 2, stream=1)
    assert stream.token == "Bearer token of bob"
    stream.answer()
    await paying


async def test_each_login_has_a_stream_of_its_own(client, gateway):
    paying = begin(client, request(1))
    await has_sent(gateway, 1)
    await client.log_in("bob", "pw")
    with pytest.raises(OutcomeUnknown, match="has hung up"):
        await paying
    paying = begin(client, request(2))
    stream = await has_sent(gateway, 2, stream=1)
    assert (gateway.streams[0].token, stream.token) == ("Bearer token of alice", "Bearer token of bob")
    stream.answer()
    await paying


async def test_who_has_logged_out_is_not_logged_in_again_by_anything(client, gateway):
    await client.log_out()
    paying = begin(client, request(1))
    (await has_sent(gateway, 1)).break_off(grpc.StatusCode.UNAUTHENTICATED)
    with pytest.raises(NotLoggedIn):
        await paying
    assert gateway.logins == ["alice"]
    assert gateway.streams[0].token == ""


def test_threads_that_wait_when_their_client_is_closed_are_told_so(gateway):
    shared = SharedClient("nowhere", TLS)
    told: list[Exception] = []

    def pay():
        try:
            shared.pay(request(1))
        except OutcomeUnknown as error:
            told.append(error)

    thread = threading.Thread(target=pay, daemon=True)
    thread.start()
    while not (gateway.streams and gateway.streams[0].sent):
        thread.join(0.005)
    shared.close()
    thread.join(WITHIN_S)
    assert [str(error) for error in told] == ["the client has hung up"]
