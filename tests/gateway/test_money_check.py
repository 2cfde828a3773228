"""The money check: sound books are OK, a difference that stays is an alarm, one that passes is none."""

import pytest
import structlog
from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import begin_chain
from nodes.gateway import money_check
from nodes.gateway.cuts import Cut, CutImpossible
from nodes.gateway.money_check import MoneyCheck


def cut(hdfc_owes_icici, icici_owes_hdfc):
    banks = [
        pb.BankCut(bank=bank, totals=[pb.CutTotals(currency="INR", paid_in_minor=1000, due_to_minor={other: due})])
        for bank, other, due in (("HDFC", "ICICI", hdfc_owes_icici), ("ICICI", "HDFC", icici_owes_hdfc))
    ]
    return Cut(1, begin_chain("gateway"), banks)


class FakeCuts:
    def __init__(self, *cuts):
        self.cuts = list(cuts)

    async def take(self):
        taken = self.cuts.pop(0)
        if isinstance(taken, Exception):
            raise taken
        return taken


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(money_check, "_BETWEEN_LOOKS_S", 0)


def check(*cuts):
    return MoneyCheck(FakeCuts(*cuts), structlog.get_logger())


async def test_books_that_add_up_are_ok_with_what_was_paid_in():
    verdict = await check(cut(30, -30)).check()
    assert (verdict.said, verdict.has_failed) == ("OK 20.00 INR", False)


async def test_a_difference_that_passes_is_no_alarm():
    verdict = await check(cut(30, 0), cut(30, -30)).check()
    assert not verdict.has_failed


async def test_a_difference_that_stays_is_an_alarm():
    money = check(cut(30, 0), cut(30, 0), cut(30, 0))
    verdict = await money.check()
    assert verdict.has_failed
    assert verdict.said == "FAILED: HDFC and ICICI differ by 30 INR in what they owe each other"
    assert money.verdict == verdict


async def test_without_a_cut_the_last_verdict_stands():
    money = check(cut(0, 0), CutImpossible("HDFC is away"))
    first = await money.check()
    with pytest.raises(CutImpossible):
        await money.check()
    assert money.verdict == first
