"""What a bank is sent: few messages, and none that reaches past the marker of a cut."""

import asyncio

import grpc
import pytest
import structlog
from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import Head
from nodes.core.messages import Decide, Prepare
from nodes.gateway import bank_link
from nodes.gateway.bank_link import Batch, Marker, _messages, _Stream

HEADS = [Head(number, number, bytes([number]) * 32) for number in range(9)]
MARKER = Marker(7, keeps_books=True)


def batch(number, marker=None):
    decide = Decide(bytes([number]) * 16, "alice", 1, commit=True)
    prepare = Prepare(bytes([number + 100]) * 16, "alice", 1, "HDFC", "bob", "ICICI", 5, "INR")
    return Batch([prepare], [decide], HEADS[number]) if marker is None else Batch([], [], HEADS[number], marker)


def shape(message):
    return [each[0] for each in message.decides.payment_ids], message.cut, message.keep_books, message.head.number


def test_what_has_gathered_is_one_message_with_the_newest_head():
    assert list(map(shape, _messages([batch(1), batch(2)]))) == [([1, 2], 0, False, 2)]


def test_a_marker_ends_its_message_and_what_comes_after_it_is_in_the_next():
    messages = _messages([batch(1), batch(2), batch(3, MARKER), batch(4), batch(5)])
    assert list(map(shape, messages)) == [([1, 2], 7, True, 3), ([4, 5], 0, False, 5)]


def test_a_marker_goes_out_though_there_is_nothing_to_say():
    assert list(map(shape, _messages([batch(1, MARKER)]))) == [([], 7, True, 1)]
    assert _messages([Batch([], [], HEADS[1])]) == []


def test_more_than_a_message_holds_goes_out_whole_and_the_marker_with_its_end(monkeypatch):
    monkeypatch.setattr(bank_link, "_MESSAGE_ITEMS_MAX", 2)
    prepares = [prepare for number in (5, 6, 7) for prepare in batch(number).prepares]
    decides = [decide for number in range(1, 6) for decide in batch(number).decides]
    # The first of them has no prepare, whose epoch is that of the message.
    batches = [Batch([], decides[:3], HEADS[1]), Batch(prepares, decides[3:], HEADS[2]), batch(3, MARKER)]
    messages = _messages(batches)
    shapes = [([1, 2], 0, False, 0), ([3, 4], 0, False, 0), ([5], 7, True, 3)]
    assert list(map(shape, messages)) == shapes
    assert [len(message.prepares.payment_ids) for message in messages] == [2, 1, 0]
    assert {message.epoch for message in messages} == {1}


async def test_a_bank_that_dies_in_the_middle_of_a_write_is_away_and_no_bug():
    """What gRPC raises then is none of its own errors."""
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        stream = _Stream(channel, lambda _: None, structlog.get_logger(), lambda: [])
        stream._call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream._call.read()
        with pytest.raises(ConnectionError, match="the stream has ended"):
            await stream._send(pb.TransactRequest())


async def test_who_asks_a_bank_waits_for_what_was_said_to_it_before_and_for_nothing_that_came_after():
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        stream = _Stream(channel, lambda _: None, structlog.get_logger(), lambda: [])
        await stream.settle()
        stream.send(batch(1))
        behind_what_waits = asyncio.ensure_future(stream.settle())
        await asyncio.sleep(0)
        await stream._outgoing.take()
        stream._note_taken(1)
        behind_what_is_under_way = asyncio.ensure_future(stream.settle())
        await asyncio.sleep(0)
        assert not behind_what_waits.done()
        assert not behind_what_is_under_way.done()
        stream.send(batch(2))
        stream._note_done(1)
        await behind_what_waits
        await behind_what_is_under_way
        stream._note_taken(0)
        stream._call.cancel()


@pytest.fixture
async def stream():
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        stream = _Stream(channel, lambda _: None, structlog.get_logger(), lambda: [])
        yield stream
        stream._call.cancel()


async def test_a_bank_that_owes_one_answer_for_too_long_is_taken_for_away(stream, monkeypatch):
    monkeypatch.setattr(bank_link, "_SILENCE_MAX_S", 0.01)
    stream._note_taken(1)
    with pytest.raises(TimeoutError, match="the bank has been silent"):
        await asyncio.wait_for(stream._watch(), 60)


async def test_a_bank_that_answers_more_often_than_it_was_asked_is_broken_with(stream):
    stream._note_taken(1)
    stream._demand_asked(1)
    with pytest.raises(ConnectionError, match="what it was not asked"):
        stream._demand_asked(1)
