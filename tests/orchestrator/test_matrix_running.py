"""The matrix's run lets nothing pass that was not hit, not settled, not told as it is, or not in the files."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from nodes.client import PaymentResult
from nodes.client.errors import IdUsed
from orchestrator.chaos.crashing import Crash, find_point
from orchestrator.matrix import load as load_module
from orchestrator.matrix import running
from orchestrator.matrix.load import Load, NotSettled
from orchestrator.matrix.running import Matrix, _Strike

CRASH = Crash("gateway", find_point("gateway.decision.durable-none-told"))


class Ground(SimpleNamespace):
    """A ground on which everything that is asked for is done, and nothing happens."""

    password = "pw"
    starts = 3
    pay = staticmethod(lambda request: PaymentResult(request.payment_id, "committed", "", replayed=False))

    def bring_back(self):
        pass

    def run(self, *words):
        pass

    def nodes(self):
        return {"gateway": {"starts": self.starts}}

    def connect(self, user):
        return nullcontext(SimpleNamespace(pay=self.pay))


def make(**load):
    matrix = Matrix(Ground(), Ground(), lambda _: None)
    matrix._load = SimpleNamespace(resume=lambda: None, pause=lambda: None, clients={}, **load)
    return matrix


def test_a_point_that_was_not_reached_is_no_good_row():
    matrix = make()
    matrix._strike = lambda *_: _Strike(None, 3, None)
    row = matrix._run_loaded(CRASH)
    assert (row.is_hit, row.is_good) == (False, False)


def test_a_node_that_goes_on_though_its_disk_has_failed_is_told():
    matrix = make()
    said = ["gateway goes on though its disk has failed"]
    assert matrix._find_unmoved(CRASH, _Strike(1.0, 3, None)) == said
    assert matrix._find_unmoved(CRASH, _Strike(1.0, 2, None)) == []


def test_each_outcome_that_was_told_is_held_against_the_gateway_once(monkeypatch):
    asked = []
    monkeypatch.setattr(running, "find_lingering", lambda _: [])
    monkeypatch.setattr(running, "find_money_faults", lambda *_: [])
    monkeypatch.setattr(running, "find_lies", lambda told, _: asked.append(list(told)) or ["a lie"])
    told = [SimpleNamespace(result=SimpleNamespace(outcome="committed")) for _ in range(3)]
    matrix = make(told=told[:2])
    row = matrix._judge(matrix._load, CRASH, _Strike(1.0, 2, None), 0.5)
    assert row.told == ("a lie",)
    assert not row.is_good
    matrix._load.told = told
    matrix._judge(matrix._load, CRASH, _Strike(1.0, 2, None), 0.5)
    assert asked == [told[:2], told[2:]]


def test_files_are_compared_though_nobody_was_told_anything(monkeypatch):
    monkeypatch.setattr(running, "audit_files", lambda *_: ["money: gone"])
    assert make(told=[])._audit() == ["money: gone"]


def test_a_first_payment_that_is_not_made_is_no_recovery():
    matrix = make()
    matrix._pay_once()
    matrix._fresh.pay = lambda request: PaymentResult(request.payment_id, "declined", "bank_unavailable", False)
    with pytest.raises(NotSettled, match="the first payment is declined: bank_unavailable"):
        matrix._pay_once()


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_callers_who_are_told_what_cannot_be_or_nothing_at_all_spoil_it(monkeypatch, kind):
    monkeypatch.setattr(load_module, "_SETTLES_WITHIN_S", 30.0 if kind == "refused" else 0.1)

    def pay(_):
        raise IdUsed("amount_minor differs") if kind == "refused" else load_module.ClientError("away")

    client = SimpleNamespace(pay=pay)
    load = Load(SimpleNamespace(password="pw", connect=lambda _: client))
    try:
        load.resume()
        for payer in load._payers:
            while not payer.payment_id:
                payer.join(0.01)
        said = "is told of .*: amount_minor differs" if kind == "refused" else "does not learn what became of"
        with pytest.raises(NotSettled, match=said):
            load.pause()
    finally:
        load.stop()
