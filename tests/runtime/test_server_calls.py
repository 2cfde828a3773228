"""What every call passes through: what is answered, what is logged, what is never told."""

import asyncio
import errno
from contextlib import asynccontextmanager

import apsw
import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from interbank.v1 import bank_pb2, bank_pb2_grpc, payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime import rotating_file, server_calls
from nodes.runtime.refusal import RequestRefused
from tests.authority import CLUSTER
from tests.runtime.served import CODE, LOGGED_IN, Served, fails, login, pay


@asynccontextmanager
async def serving(folder):
    """Serve with what the test has patched in."""
    served = Served(folder)
    await served.server.start()
    try:
        yield served
    finally:
        await served.server.stop(0)


async def test_the_text_of_a_bug_never_reaches_the_caller_but_the_log(served):
    served.payments.error = RuntimeError("SELECT secret FROM vault")
    async with served.client() as channel:
        refused = await fails(login(channel))
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        stream = stub.PayMany(iter([payment_pb2.PayManyRequest()]), timeout=5, metadata=[LOGGED_IN])
        streamed = await fails(stream.read())
    for error in (refused, streamed):
        assert error.code() is CODE.INTERNAL
        assert "vault" not in error.details()
    [first, _] = served.lines("internal_error")
    assert "SELECT secret FROM vault" in first["exception"]
    assert refused.details() == f"internal error {first['error_id']}"


@pytest.mark.parametrize("error", [apsw.FullError("disk full"), apsw.IOError("EIO"), apsw.CorruptError("torn")])
async def test_a_call_whose_disk_fails_ends_the_process(served, monkeypatch, error):
    died_of = []
    monkeypatch.setattr(server_calls, "die_of", died_of.append)
    served.payments.error = error
    async with served.client() as channel:
        await fails(login(channel))
    assert died_of == [error]


async def test_a_call_that_breaks_a_rule_of_the_database_ends_only_itself(served, monkeypatch):
    died_of = []
    monkeypatch.setattr(server_calls, "die_of", died_of.append)
    served.payments.error = apsw.ConstraintError("UNIQUE")
    async with served.client() as channel:
        assert (await fails(login(channel))).code() is CODE.INTERNAL
    assert died_of == []


async def test_the_text_of_a_bug_in_a_health_watch_does_not_reach_the_caller_either(tmp_path, monkeypatch):
    async def fail(self, request, context):
        raise RuntimeError("SELECT secret FROM vault")

    monkeypatch.setattr(health.aio.HealthServicer, "Watch", fail)
    served = Served(tmp_path)
    await served.server.start()
    async with served.client() as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=5)
        refused = await fails(watching.read())
    await served.server.stop(0)
    assert refused.code() is CODE.INTERNAL
    assert "vault" not in refused.details()


async def test_a_full_disk_under_the_log_fails_no_call(served, capfd, monkeypatch):
    def write(descriptor, line):
        raise OSError(errno.ENOSPC, "No space left on device")

    # All is on it, stderr as well.
    monkeypatch.setattr(rotating_file.os, "write", write)
    async with served.client() as channel:
        await login(channel, user="alice")
    monkeypatch.undo()
    assert capfd.readouterr().err == ""


async def test_a_refusal_carries_its_violations_and_when_to_try_again(served):
    served.payments.error = RequestRefused(CODE.INVALID_ARGUMENT, "bad", [("user", "is odd")], 0.25)
    async with served.client() as channel:
        refused = await fails(login(channel))
    assert (refused.code(), refused.details()) == (CODE.INVALID_ARGUMENT, "bad")
    status = Status.FromString(dict(refused.trailing_metadata())["grpc-status-details-bin"])
    bad_request, retry_info = BadRequest(), RetryInfo()
    assert status.details[0].Unpack(bad_request)
    assert status.details[1].Unpack(retry_info)
    assert [(found.field, found.description) for found in bad_request.field_violations] == [("user", "is odd")]
    assert retry_info.retry_delay.ToMilliseconds() == 250


async def test_every_request_and_response_is_logged_without_secrets(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.LoginRequest(user="alice\nx", password="hunter2")
        await stub.Login(request, timeout=5, metadata=[("x-request-id", "mine-1")])
        await pay(channel, LOGGED_IN)
    text = served.log.read_text()
    for secret in ("hunter2", "a-secret-token", "Bearer", "good"):
        assert secret not in text
    [asked, paid] = served.lines("request")
    assert (asked["password"], asked["user"], asked["request_id"]) == ("***", "alice\nx", "mine-1")
    assert asked["peer"] == f"{CLUSTER}/client/shell"
    assert paid["payment_id"] == "x"
    assert [line["code"] for line in served.lines("response")] == ["OK", "OK"]


async def test_a_stream_has_a_line_a_message_and_none_a_payment(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.PayManyRequest(payments=[payment_pb2.PayRequest(memo="m")] * 50)
        responses = stub.PayMany(iter([request] * 3), timeout=5, metadata=[LOGGED_IN])
        assert [len(response.results) async for response in responses] == [50, 50, 50]
    assert [line["payments"] for line in served.lines("stream_request")] == [50] * 3
    assert [line["results"] for line in served.lines("stream_response")] == [50] * 3


async def test_a_caller_who_leaves_has_a_line_that_says_so(served):
    served.payments.is_slow = True
    async with served.client() as channel:
        call = asyncio.ensure_future(login(channel, user="alice"))
        await served.wait_for("request")
        call.cancel()
        [line] = await served.wait_for("response")
        assert line["code"] == "CANCELLED"
        assert line["duration_ms"] > 0


async def test_a_stream_that_is_refused_or_left_has_a_last_line(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        await fails(stub.PayMany(iter([]), timeout=5).read())
        assert [line["code"] for line in served.lines("stream_closed")] == ["UNAUTHENTICATED"]
        left = stub.PayMany(metadata=[LOGGED_IN])
        await left.write(payment_pb2.PayManyRequest())
        await left.read()
        left.cancel()
        await served.wait_for("stream_closed", count=2)


async def test_what_a_method_aborts_by_itself_is_told_and_logged(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.PayRequest(memo="abort")
        refused = await fails(stub.Pay(request, timeout=5, metadata=[LOGGED_IN]))
    assert (refused.code(), refused.details()) == (CODE.NOT_FOUND, "by hand")
    [line] = await served.wait_for("response")
    assert (line["code"], line["details"]) == ("NOT_FOUND", "by hand")


async def test_the_payment_id_is_in_every_line_of_a_call_and_readable(served):
    async with served.dial(served.authority.tls(PeerKind.GATEWAY)) as channel:
        request = bank_pb2.GetTransactionsRequest(payment_id=bytes(range(16)))
        await bank_pb2_grpc.BankServiceStub(channel).GetTransactions(request, timeout=5)
    for event in ("request", "looked_up", "response"):
        [line] = served.lines(event)
        assert line["payment_id"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"


async def test_a_node_that_is_too_busy_sheds_calls_but_still_says_how_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(server_calls, "UNARY_CALLS_MAX", 2)
    async with serving(tmp_path) as served, served.client() as channel:
        served.payments.is_slow = True
        under_way = asyncio.ensure_future(login(channel))
        await served.wait_for("request")
        refused = await fails(login(channel))
        assert refused.code() is CODE.RESOURCE_EXHAUSTED
        assert "this certificate has too many calls under way" in refused.details()
        assert "grpc-status-details-bin" in dict(refused.trailing_metadata())
        async with served.dial(served.authority.tls(PeerKind.CLIENT, "other")) as other:
            beside = asyncio.ensure_future(login(other))
            await served.wait_for("request", count=3)
            full = await fails(login(other))
            assert "this node has too many calls under way" in full.details()
            await health_pb2_grpc.HealthStub(other).Check(health_pb2.HealthCheckRequest(), timeout=5)
            beside.cancel()
        under_way.cancel()


async def test_streams_beyond_what_a_node_carries_are_shed(tmp_path, monkeypatch):
    monkeypatch.setattr(server_calls, "STREAMS_MAX", 1)
    async with serving(tmp_path) as served, served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        first = stub.PayMany(metadata=[LOGGED_IN])
        await first.write(payment_pb2.PayManyRequest())
        await first.read()
        assert (await fails(stub.PayMany(metadata=[LOGGED_IN]).read())).code() is CODE.RESOURCE_EXHAUSTED
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        assert await stub.PayMany(iter([]), timeout=5, metadata=[LOGGED_IN]).read() is grpc.aio.EOF


async def test_who_watches_a_nodes_health_takes_no_room_of_the_streams_and_has_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(server_calls, "STREAMS_MAX", 1)
    async with serving(tmp_path) as served, served.client() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        assert (
            await fails(health.Watch(health_pb2.HealthCheckRequest()).read())
        ).code() is CODE.RESOURCE_EXHAUSTED
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        assert await stub.PayMany(iter([]), timeout=5, metadata=[LOGGED_IN]).read() is grpc.aio.EOF
        watch.cancel()


async def test_bytes_that_are_no_message_are_refused_without_what_the_parser_thought(served):
    async with served.client() as channel:
        call = channel.unary_unary("/interbank.v1.PaymentService/Login")
        stream = channel.stream_stream("/interbank.v1.PaymentService/PayMany")
        for refused in (
            await fails(call(b"\xff\xff", timeout=5)),
            await fails(call(b"\x0a\x02\xff\xfe", timeout=5)),
            await fails(stream(iter([b"\xff"]), timeout=5, metadata=[LOGGED_IN]).read()),
        ):
            assert (refused.code(), refused.details()) == (CODE.INTERNAL, "the request cannot be decoded")
    assert not served.payments.entered
    assert not served.lines("internal_error")


async def test_whoever_watches_a_node_does_not_fill_its_log(served):
    async with served.client() as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        await login(channel, user="alice")
    assert [line["rpc"].rpartition("/")[2] for line in served.lines("request")] == ["Login"]


async def test_a_unary_request_beyond_the_limit_is_refused(served):
    async with served.client() as channel:
        refused = await fails(login(channel, user="x" * 70_000))
    assert refused.code() is CODE.RESOURCE_EXHAUSTED
    assert not served.payments.entered


async def test_metadata_beyond_the_limit_is_refused(served):
    async with served.client() as channel:
        refused = await fails(pay(channel, LOGGED_IN, ("x-big", "x" * 60_000)))
        assert refused.code() is CODE.RESOURCE_EXHAUSTED
        assert not served.payments.entered
        await pay(channel, LOGGED_IN)
