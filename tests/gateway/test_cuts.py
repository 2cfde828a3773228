"""Cuts: a marker to every bank between two turns, and nothing that goes past it."""

import asyncio

import pytest
from interbank.v1 import bank_pb2 as pb

from nodes.core.coordinator import Coordinator
from nodes.gateway import cuts as cuts_module
from nodes.gateway.cuts import CutImpossible, Cuts
from nodes.gateway.store import GatewayStore

BANKS = ("HDFC", "SBI")


class FakeLink:
    """Keeps the markers that it is to send."""

    def __init__(self):
        self.is_connected = True
        self.cuts = []
        self.keeps = []
        self.is_marked = asyncio.Event()

    def send(self, batch):
        self.cuts.append(batch.marker.cut)
        self.keeps.append(batch.marker.keeps_books)
        self.is_marked.set()


class Taken:
    """Cuts of a gateway with two banks, whose loop takes a turn when it is woken."""

    def __init__(self, folder):
        self.store = GatewayStore.open(folder / "gateway.db")
        self.links = {name: FakeLink() for name in BANKS}
        self.coordinator = Coordinator(epoch=1, last_sequence=0, timeout_ms=1000)
        for name in BANKS:
            self.coordinator.connect(name, [], {})
        self.cuts = Cuts(self.coordinator, self.store.chain, self.links, lambda: loop().call_soon(self.cuts.mark))

    def answer(self, *banks):
        for name in banks:
            self.cuts.take_answer(name, cut_of(self.cuts.number, name))

    async def take_until_marked(self):
        """Begin to take a cut; return once its markers are sent."""
        taking = asyncio.create_task(self.cuts.take())
        await self.links["SBI"].is_marked.wait()
        return taking


def cut_of(number, bank):
    return pb.BankCut(number=number, bank=bank, head=pb.ChainHead(hash=bytes(32)))


def loop():
    return asyncio.get_running_loop()


@pytest.fixture
def taken(tmp_path):
    taken = Taken(tmp_path)
    yield taken
    taken.store.close()


def test_a_cut_is_taken_when_every_bank_has_answered_its_marker(taken):
    async def run():
        taking = await taken.take_until_marked()
        taken.answer("HDFC")
        await asyncio.sleep(0)
        assert not taking.done()
        taken.cuts.take_answer("SBI", cut_of(taken.cuts.number - 1, "SBI"))
        await asyncio.sleep(0)
        assert not taking.done()
        taken.answer("SBI")
        cut = await taking
        assert (cut.number, [(bank.bank, bank.number) for bank in cut.banks]) == (1, [("HDFC", 1), ("SBI", 1)])
        assert taken.links["HDFC"].cuts == taken.links["SBI"].cuts == [1]

    asyncio.run(run())


def test_a_cut_is_of_the_moment_of_its_markers_whatever_is_decided_until_they_are_answered(taken):
    async def run():
        head = taken.store.chain.head
        taking = await taken.take_until_marked()
        taken.store.chain.append([], 0, acts=["something later"])
        taken.answer(*BANKS)
        assert (await taking).head == head

    asyncio.run(run())


def test_a_bank_that_has_not_said_yet_what_is_in_doubt_there_is_given_no_marker(taken, monkeypatch):
    monkeypatch.setattr(cuts_module, "_BACK_WITHIN_S", 0)
    taken.coordinator.disconnect("HDFC")

    async def run():
        with pytest.raises(CutImpossible, match="HDFC is away"):
            await taken.cuts.take()
        assert taken.links["SBI"].cuts == []

    asyncio.run(run())


def test_what_a_bank_inquires_about_is_answered_before_a_marker_or_after_its_answer(taken):
    async def run():
        said = []
        taken.cuts.answer_inquiry(lambda: said.append("before"))
        taking = await taken.take_until_marked()
        taken.cuts.answer_inquiry(lambda: said.append("meanwhile"))
        taken.answer("HDFC")
        await asyncio.sleep(0)
        assert said == ["before"]
        taken.answer("SBI")
        await taking
        assert said == ["before", "meanwhile"]

    asyncio.run(run())


def test_an_answer_that_waits_for_a_cut_is_given_when_the_cut_fails(taken, monkeypatch):
    monkeypatch.setattr(cuts_module, "_ANSWERS_WITHIN_S", 0.01)
    monkeypatch.setattr(cuts_module, "_BACK_WITHIN_S", 0)

    async def run():
        said = []
        taking = await taken.take_until_marked()
        taken.cuts.answer_inquiry(lambda: said.append("meanwhile"))
        with pytest.raises(CutImpossible, match=r"HDFC, SBI did not answer within 0\.01 s"):
            await taking
        assert said == ["meanwhile"]

    asyncio.run(run())


def test_a_bank_that_goes_away_is_waited_for_and_given_another_marker(taken):
    async def run():
        taking = await taken.take_until_marked()
        taken.answer("HDFC")
        taken.links["SBI"].is_connected = False
        taken.cuts.lose("SBI")
        taken.links["SBI"].is_marked.clear()
        await asyncio.sleep(0)
        taken.links["SBI"].is_connected = True
        await taken.links["SBI"].is_marked.wait()
        taken.answer(*BANKS)
        assert (await taking).number > 1

    asyncio.run(run())


def test_who_asks_while_a_cut_is_taken_shares_the_next_and_its_books_are_kept_if_one_wants_them(taken):
    async def run():
        first = await taken.take_until_marked()
        others = [asyncio.create_task(taken.cuts.take(keep_books=wants)) for wants in (False, True, False)]
        await asyncio.sleep(0)
        others[0].cancel()
        taken.links["SBI"].is_marked.clear()
        taken.answer(*BANKS)
        assert (await first).number == 1
        await taken.links["SBI"].is_marked.wait()
        taken.answer(*BANKS)
        assert [(await each).number for each in others[1:]] == [2, 2]
        assert taken.links["SBI"].keeps == [False, True]
        taken.links["SBI"].is_marked.clear()
        last = await taken.take_until_marked()
        taken.answer(*BANKS)
        assert (await last).number == 3
        assert taken.links["SBI"].keeps == [False, True, False]

    asyncio.run(run())


def test_a_bank_that_stays_away_is_named(taken, monkeypatch):
    monkeypatch.setattr(cuts_module, "_BACK_WITHIN_S", 0)
    taken.links["SBI"].is_connected = False
    with pytest.raises(CutImpossible, match="SBI is away"):
        asyncio.run(taken.cuts.take())


def test_a_bank_that_goes_after_its_answer_takes_nothing_from_the_cut(taken):
    async def run():
        taking = await taken.take_until_marked()
        taken.answer("SBI")
        taken.cuts.lose("SBI")
        taken.answer("HDFC")
        assert (await taking).number == 1

    asyncio.run(run())
