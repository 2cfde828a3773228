"""Who opens calls and takes them back is cut off, and nobody else notices more than a step."""

import asyncio
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime import wasted_calls
from nodes.runtime.wasted_calls import CUT_OFF_S, UnaskedAlarm, WastedCalls
from tests.runtime.served import CODE, LOGGED_IN, fails, login, pay
from tests.security.floods import Target
from tests.security.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    call_headers,
    frame,
    reset_streams,
)


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


# -- what is owed --------------------------------------------------------------


def charge(wasted, who, count):
    return [number for number in range(count) if wasted.charge(who)]


def test_whoever_wastes_more_than_is_borne_is_cut_off_once_and_others_are_not(clock):
    wasted = WastedCalls(clock)
    assert not wasted
    assert charge(wasted, "mallory", 5000) == [3000]
    assert wasted.is_cut_off("mallory")
    assert not wasted.is_cut_off("alice")


def test_what_is_owed_melts_away(clock):
    wasted = WastedCalls(clock)
    for _ in range(100):  # five times more than is borne at once, but over 100 seconds
        assert not charge(wasted, "slow", 200)
        clock.now_s += 1
    assert charge(wasted, "slow", 3001)


def test_being_cut_off_ends_unless_it_goes_on(clock):
    wasted = WastedCalls(clock)
    charge(wasted, "mallory", 3001)
    clock.now_s += CUT_OFF_S - 1
    charge(wasted, "mallory", 3001)
    clock.now_s += 2
    assert wasted.is_cut_off("mallory")
    clock.now_s += CUT_OFF_S
    assert not wasted.is_cut_off("mallory")
    assert not wasted


def test_debtors_are_forgotten_beyond_a_number_of_them(clock):
    wasted = WastedCalls(clock)
    for number in range(5000):
        wasted.charge(f"certificate {number}")
    assert len(wasted._owed) == 1000


# -- the alarm -----------------------------------------------------------------


def test_the_alarm_rings_for_calls_that_ask_nothing_and_stops_when_they_do(clock):
    alarm = UnaskedAlarm(clock)
    assert [alarm.opened() for _ in range(300)] == [False] * 199 + [True] * 101
    clock.now_s += 10
    assert not alarm.opened()


def test_calls_that_are_asked_ring_no_alarm_however_many_come_at_once(clock):
    alarm = UnaskedAlarm(clock)
    for _ in range(1000):
        assert [alarm.opened() for _ in range(150)] == [False] * 150
        for _ in range(149):  # one in 150 dies
            alarm.asked()


# -- a server ------------------------------------------------------------------


@pytest.fixture
def alarmed(monkeypatch):
    monkeypatch.setattr(UnaskedAlarm, "opened", lambda _: True)


@pytest.mark.usefixtures("alarmed")
async def test_during_an_alarm_calls_are_answered_refused_and_logged_as_ever(served):
    async with served.client() as channel:
        await login(channel, user="alice")
        await pay(channel, LOGGED_IN)
        refused = await fails(pay(channel))
        stub = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=5)
        assert isinstance(await watching.read(), health_pb2.HealthCheckResponse)
        watching.cancel()
        unknown = await fails(channel.unary_unary("/interbank.v1.PaymentService/Mint")(b"", timeout=5))
        too_large = payment_pb2.LoginRequest(user="x" * 70_000)
        large = await fails(payment_pb2_grpc.PaymentServiceStub(channel).Login(too_large, timeout=5))
    assert refused.code() is CODE.UNAUTHENTICATED
    assert unknown.code() is CODE.UNIMPLEMENTED
    assert large.code() is CODE.RESOURCE_EXHAUSTED
    assert [line["rpc"].rpartition("/")[2] for line in served.lines("request")] == ["Login", "Pay", "Pay"]
    assert not served.lines("internal_error")


@pytest.mark.usefixtures("alarmed")
async def test_a_call_that_ends_without_a_request_is_refused_and_leaves_no_error(served):
    def ask_nothing():
        with target_of(served, "mallory").http2() as line:
            headers = call_headers("PaymentService/Login")
            line.send(frame(HEADERS, headers, flags=END_HEADERS | END_STREAM, stream=1))
            return line.is_answered()

    assert await asyncio.to_thread(ask_nothing)
    assert not served.lines("internal_error")


def target_of(served, name):
    files = served.authority.leaf(served.authority.identity(PeerKind.CLIENT, name))
    names = map(str, (files.ca, files.certificate, files.key))
    return Target("localhost", served.server.port, served.authority.identity(PeerKind.GATEWAY).tls_name, *names)


def unasked(first):
    return reset_streams(first, 100)


def asked_without_a_login(first):
    headers = call_headers("PaymentService/Pay")
    return b"".join(
        frame(HEADERS, headers, flags=END_HEADERS, stream=stream)
        + frame(DATA, bytes(5), flags=END_STREAM, stream=stream)
        + frame(RST_STREAM, bytes([0, 0, 0, 8]), stream=stream)
        for stream in range(first, first + 200, 2)
    )


def of_no_method(first):
    return reset_streams(first, 100, "PaymentService/Mint")


@pytest.mark.parametrize("calls", [unasked, asked_without_a_login, of_no_method])
async def test_whoever_opens_and_resets_calls_is_cut_off_and_others_pay_on(served, monkeypatch, calls, capfd):
    monkeypatch.setattr(wasted_calls, "_OWED_MAX", 500.0)
    target = target_of(served, "mallory")

    def flood():
        with target.http2(timeout_s=3) as line:
            for first in range(1, 2_000_000, 200):
                if not (line.send(calls(first)) and line.attend()):
                    return True
        return False

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    async with served.client() as channel:
        while not flooding.done():
            await pay(channel, LOGGED_IN)
    assert await flooding, "the line went dead"
    [cut_off] = served.lines("cut_off")
    assert cut_off["peer"].endswith("/client/mallory")
    assert [line["count"] for line in await served.wait_for("connections_cut")] == [1]
    assert "Traceback" not in capfd.readouterr().err


async def test_a_certificate_that_is_cut_off_is_told_so_on_a_new_line_and_its_streams_as_well(served, monkeypatch):
    monkeypatch.setattr(WastedCalls, "__bool__", lambda _: True)
    monkeypatch.setattr(WastedCalls, "is_cut_off", lambda _, thumbprint: True)
    async with served.client() as channel:
        refused = await fails(pay(channel, LOGGED_IN))
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        stream = stub.PayMany(iter([payment_pb2.PayManyRequest()]), timeout=5, metadata=[LOGGED_IN])
        streamed = await fails(stream.read())
    for error in (refused, streamed):
        assert error.code() is CODE.RESOURCE_EXHAUSTED
        assert "cut off" in error.details()
    assert not served.payments.entered
    assert not served.lines("request")


async def test_who_is_cut_off_and_comes_again_and_again_finds_the_door_shut_and_others_pay_on(served, monkeypatch):
    monkeypatch.setattr(WastedCalls, "__bool__", lambda _: True)
    cut_off = served.authority.tls(PeerKind.CLIENT, "mallory")
    monkeypatch.setattr(WastedCalls, "is_cut_off", lambda _, thumbprint: thumbprint == cut_off.thumbprint)
    async with served.client() as good:
        await pay(good, LOGGED_IN)
        for _ in range(11):
            async with served.dial(cut_off) as channel:
                assert (await fails(pay(channel, LOGGED_IN))).code() is CODE.RESOURCE_EXHAUSTED
        [shut] = await served.wait_for("door_shut")
        with socket.socket(socket.AF_INET6 if ":" in shut["host"] else socket.AF_INET) as line:
            line.setblocking(False)
            line.connect_ex((shut["host"], served.server.port))
            await pay(good, LOGGED_IN)
            with pytest.raises(OSError, match="not connected"):
                line.getpeername()


async def test_calls_whose_time_is_up_are_counted_and_cost_their_client_nothing(served):
    served.payments.is_slow = True
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        calls = [stub.Login(payment_pb2.LoginRequest(user="alice"), timeout=0.3) for _ in range(100)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {end.code() for end in ends if isinstance(end, grpc.aio.AioRpcError)} == {CODE.DEADLINE_EXCEEDED}
        await pay(channel, LOGGED_IN)
