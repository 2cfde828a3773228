"""The gateway's loop: what it hears reaches the rules, what they say reaches whom it is for, whoever has gone."""

import asyncio
from types import SimpleNamespace

import apsw
import pytest
from interbank.v1 import bank_pb2 as pb

from nodes.bank.conversions import write_contradiction, write_votes
from nodes.core.authority import Authority
from nodes.core.coordinator import Coordinator
from nodes.core.messages import Contradiction, Outcome, Payment, Reason, Vote, VoteKind
from nodes.core.recovery import RECORDS_LOST
from nodes.core.resolution import Resolution
from nodes.gateway import cuts
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.store import SCHEMA, GatewayStore

AUTHORITY = Authority("a token", 0, 0)
WITHIN_S = 60
PAYMENT = Payment(b"1" * 16, "alice", "HDFC", "bob", "ICICI", 1, "INR", "")
OTHER = PAYMENT._replace(payment_id=b"2" * 16, payer_bank="SBI", payee_bank="SBI")
FOUND = Contradiction(b"x" * 16, "alice", 1, "commit", "aborted")


class Bank:
    """Keeps what is sent to it, and says nothing."""

    def __init__(self, name):
        self.name = name
        self.batches = []
        self.is_connected = True
        self.is_asked = asyncio.Event()
        self.is_marked = asyncio.Event()

    def send(self, batch):
        self.batches.append(batch)
        if batch.marker:
            self.is_marked.set()
        if batch.prepares:
            self.is_asked.set()


class Gateway:
    """A loop over a store in memory, with three banks."""

    def __init__(self, store=None, timeout_ms=WITHIN_S * 1000):
        if store is None:
            connection = apsw.Connection(":memory:")
            connection.execute(SCHEMA)
            store = GatewayStore(connection)
        self.store = store
        self.recorded = asyncio.Queue()
        self.reported = asyncio.Queue()
        self.banks = [Bank(name) for name in ("HDFC", "ICICI", "SBI")]
        self.coordinator = Coordinator(epoch=1, last_sequence=store.last_sequence(), timeout_ms=timeout_ms)
        self.loop = GatewayLoop(self.coordinator, store, record=self._record, report=self.reported.put_nowait)
        for bank in self.banks:
            self.loop.add_bank(bank)
            self.loop.bank_events().connected(bank.name, SimpleNamespace(in_doubt=()))
        self.running = asyncio.create_task(self.loop.run())

    def _record(self, decisions):
        for decision in decisions:
            self.recorded.put_nowait(decision)

    def hear(self, bank, votes=(), contradictions=()):
        said = pb.TransactResponse(
            votes=write_votes(votes), contradictions=map(write_contradiction, contradictions)
        )
        self.loop.bank_events().received(bank, said)

    def hear_yes(self, *banks):
        for bank in banks:
            self.hear(bank, [Vote(*PAYMENT.key, 1, VoteKind.YES, Reason.NONE)])

    async def begin(self):
        """Have a payment under way, with a caller that waits."""
        call = asyncio.create_task(self.loop.pay(PAYMENT, AUTHORITY))
        for bank in self.banks[:2]:
            await asyncio.wait_for(bank.is_asked.wait(), WITHIN_S)
        return call


@pytest.fixture
async def gateway():
    gateway = Gateway()
    yield gateway
    gateway.running.cancel()


async def test_a_payment_whose_caller_has_gone_is_decided_all_the_same(gateway):
    call = await gateway.begin()
    call.cancel()
    gateway.hear_yes("HDFC", "ICICI")
    decision = await asyncio.wait_for(gateway.recorded.get(), WITHIN_S)
    assert decision.outcome is Outcome.COMMITTED
    assert not gateway.running.done()


async def test_callers_that_have_gone_are_waited_for_no_more(gateway):
    call = await gateway.begin()
    assert gateway.loop._single_callers == 1
    call.cancel()
    await asyncio.wait([call])
    assert gateway.loop._single_callers == 0


async def test_each_deadline_is_met_though_nothing_else_happens():
    gateway = Gateway(timeout_ms=1)
    for payment in (PAYMENT, OTHER):
        answer = await asyncio.wait_for(gateway.loop.pay(payment, AUTHORITY), WITHIN_S)
        assert answer.decision.reason is Reason.BANK_UNAVAILABLE
    gateway.running.cancel()


async def test_what_a_bank_contradicts_is_reported_though_it_votes_on_nothing(gateway):
    gateway.hear("HDFC", contradictions=[FOUND])
    reported = await asyncio.wait_for(gateway.reported.get(), WITHIN_S)
    assert reported == FOUND._replace(recorded="HDFC: aborted")
    assert gateway.store.contradictions() == [reported]


async def test_a_turn_sends_prepares_to_some_banks_and_decisions_to_others(gateway):
    await gateway.begin()
    for bank in gateway.banks:
        bank.batches.clear()
    gateway.hear_yes("HDFC", "ICICI")
    gateway.loop.begin(OTHER, lambda _: None, AUTHORITY)
    await asyncio.wait_for(gateway.recorded.get(), WITHIN_S)
    sent = {bank.name: [(len(b.prepares), len(b.decides)) for b in bank.batches] for bank in gateway.banks}
    assert sent == {"HDFC": [(0, 1)], "ICICI": [(0, 1)], "SBI": [(1, 0)]}


async def test_the_markers_of_a_cut_go_out_behind_what_their_turn_has_decided(gateway):
    await gateway.begin()
    gateway.loop.cuts.begin(lambda *_: None, keeps_books=False)
    gateway.hear_yes("HDFC", "ICICI")
    for bank in gateway.banks:
        await asyncio.wait_for(bank.is_marked.wait(), WITHIN_S)
    for bank in gateway.banks[:2]:
        assert [(len(batch.decides), bool(batch.marker)) for batch in bank.batches[-2:]] == [(1, False), (0, True)]
    assert gateway.loop.cuts.head.last_sequence == 1


async def test_inquiries_wait_for_the_end_of_a_cut_and_a_cut_ends_when_a_bank_goes_away(gateway, monkeypatch):
    monkeypatch.setattr(cuts, "_ANSWERS_WITHIN_S", 3600.0)
    taking = asyncio.create_task(gateway.loop.cuts.take())
    for bank in gateway.banks:
        await asyncio.wait_for(bank.is_marked.wait(), WITHIN_S)
    key = (*PAYMENT.key, 1)
    asking = [asyncio.create_task(gateway.loop.inquire(bank, [key])) for bank in ("HDFC", "ICICI")]
    # A payment that is asked for after them is sent out with the turn that has answered them, or a later one.
    await asyncio.sleep(0)
    gateway.loop.begin(OTHER, lambda _: None, AUTHORITY)
    await asyncio.wait_for(gateway.banks[2].is_asked.wait(), WITHIN_S)
    assert not any(each.done() for each in asking)
    gateway.loop.bank_events().disconnected("SBI")
    for answers in asking:
        assert [decide.commit for decide in await asyncio.wait_for(answers, WITHIN_S)] == [False]
    taking.cancel()


async def test_a_gateway_that_starts_again_knows_what_operators_settled_and_what_only_they_can_settle(gateway):
    settled = Resolution(b"s" * 16, "alice", 1, False, "eve", "restored", 5)
    lost = Contradiction(b"l" * 16, "alice", 1, "HDFC holds it for epoch 1", RECORDS_LOST)
    gateway.store.save_resolution(settled)
    gateway.store.write([], [lost, FOUND], 5)
    again = Gateway(gateway.store)
    assert again.coordinator.resolved == {settled.transaction: False}
    assert again.coordinator.unknown == {lost[:3]}
    again.running.cancel()
