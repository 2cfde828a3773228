"""The gateway's stream at a bank: every message is heard and has its answer, and a stream that ends is gone."""

import asyncio
from types import SimpleNamespace

import pytest
from interbank.v1 import bank_pb2 as pb

from nodes.bank.bank_service import BankService, _merge
from nodes.bank.loop import BankLoop
from nodes.core.chain import Head
from nodes.core.soundness import EPOCH_MAX, Unsound

MESSAGES = 3


class Loop:
    """Answers all at once, but for the last message: that later."""

    def open_stream(self, reply):
        reply(pb.TransactResponse())

    def receive(self, request, reply):
        answer = pb.TransactResponse(done_number=request.number)
        if request.number < MESSAGES:
            reply(answer)
        else:
            asyncio.get_running_loop().call_later(0.05, reply, answer)


async def requests():
    for number in range(1, MESSAGES + 1):
        yield pb.TransactRequest(number=number)


async def test_a_stream_that_the_gateway_ends_has_every_answer_and_counts_no_more():
    service = BankService("HDFC", Loop(), None)
    done = [answer.done_number async for answer in service.Transact(requests(), None)]
    assert done[-1] == MESSAGES
    assert service.streams == 0
    assert not service.connected.is_set()


def test_all_answers_that_have_gathered_are_in_one_message():
    votes = [pb.Votes(payment_ids=[bytes([number]) * 16]) for number in range(30)]
    answers = [pb.TransactResponse(votes=each, done_number=number) for number, each in enumerate(votes, 1)]
    merged = _merge(answers)
    assert [payment_id[0] for payment_id in merged.votes.payment_ids] == list(range(30))
    assert merged.done_number == 30


def test_what_the_gateway_says_of_its_chain_is_heard():
    heard = []
    chain = SimpleNamespace(hear=lambda node, head: heard.append((node, head)))
    store = SimpleNamespace(find_account=lambda _: None, holds=list, chain=chain)
    loop = BankLoop("HDFC", store, SimpleNamespace(find=None), lambda _: None)
    loop.receive(pb.TransactRequest(number=1), lambda _: None)
    assert heard == []
    head = pb.ChainHead(number=7, last_sequence=5, hash=bytes(32))
    loop.receive(pb.TransactRequest(number=2, head=head), lambda _: None)
    assert heard == [("gateway", Head(7, 5, bytes(32)))]


def test_an_answer_to_an_inquiry_that_cannot_be_is_refused_before_a_rule_looks_at_it():
    store = SimpleNamespace(find_account=lambda _: None, holds=list)
    loop = BankLoop("HDFC", store, None, lambda _: None)
    answer = pb.Decides(payment_ids=[bytes(16)], payers=["alice"], epochs=[EPOCH_MAX + 1], commits=[True])
    with pytest.raises(Unsound):
        loop.receive_decisions(answer)
