"""Who is refused again and again waits for the words, and nobody else does."""

import asyncio

import pytest
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime import capacity, server_calls
from nodes.runtime.capacity import Refusals
from nodes.runtime.refusal import RequestRefused
from tests.runtime.served import CODE, fails, login

AT_ONCE = 200


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def refuse(refusals, who, count):
    return [number for number in range(count) if refusals.are_told_late(who)]


def test_refusals_beyond_a_number_are_told_late_and_those_of_others_are_not():
    refusals = Refusals(Clock())
    assert refuse(refusals, "greedy", AT_ONCE + 3) == [200, 201, 202]
    assert not refuse(refusals, "alice", AT_ONCE)


def test_who_heeds_the_hint_is_told_at_once_again_however_often_it_was_refused():
    clock = Clock()
    refusals = Refusals(clock)
    refuse(refusals, "greedy", 100_000)
    clock.now_s += 10
    assert not refuse(refusals, "greedy", AT_ONCE)
    for _ in range(100):
        clock.now_s += 1
        assert not refuse(refusals, "greedy", 50)


def test_those_refused_longest_ago_are_forgotten_beyond_a_number_of_them():
    refusals = Refusals(Clock())
    for number in range(5000):
        refusals.are_told_late(f"certificate {number}")
    assert len(refusals._refused) == 1000


@pytest.mark.parametrize("code", [CODE.RESOURCE_EXHAUSTED, CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED])
async def test_a_call_that_waits_for_its_refusal_holds_up_nobody_else_and_can_be_taken_back(
    served, monkeypatch, code
):
    monkeypatch.setattr(server_calls, "_WAIT_MAX_S", 60.0)
    monkeypatch.setattr(capacity, "_FORGIVEN_EACH_S", 0.0)
    served.payments.error = RequestRefused(code, "no")
    async with served.client() as greedy, served.dial(served.authority.tls(PeerKind.CLIENT, "other")) as other:
        stub = payment_pb2_grpc.PaymentServiceStub(greedy)
        calls = {asyncio.ensure_future(fails(stub.Login(payment_pb2.LoginRequest()))) for _ in range(AT_ONCE + 5)}
        told = 0
        while told < AT_ONCE:
            done, calls = await asyncio.wait(calls, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            assert {call.result().code() for call in done} == {code}
            told += len(done)
        assert (await fails(login(other))).code() is code
        served.payments.error = None
        await login(greedy, user="alice")
        assert not any(call.done() for call in calls)
        assert len(calls) == 5
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await login(greedy, user="alice")
    assert not served.lines("internal_error")


async def test_no_more_calls_wait_than_there_is_memory_for(served, monkeypatch):
    monkeypatch.setattr(server_calls, "_WAITING_MAX", 0)
    monkeypatch.setattr(Refusals, "are_told_late", lambda *_: True)
    served.payments.error = RequestRefused(CODE.RESOURCE_EXHAUSTED, "no room", retry_after_s=60.0)
    async with served.client() as channel:
        assert (await fails(login(channel))).code() is CODE.RESOURCE_EXHAUSTED
