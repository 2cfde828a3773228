"""The crash matrix: what its cells are, and that nothing which is wrong passes for good."""

import pytest

from nodes.client import PaymentRequest, PaymentResult
from nodes.client.errors import NotFound
from orchestrator.chaos.crash_registry import POINTS, Provocation
from orchestrator.chaos.crashing import Crash, find_point
from orchestrator.layout.config import load
from orchestrator.matrix.cells import Row, make_cells
from orchestrator.matrix.judging import find_lies
from orchestrator.matrix.load import Told
from orchestrator.matrix.provocations import _PROVOCATIONS
from orchestrator.matrix.view import make_document, summarise

CRASH = Crash("gateway", find_point("gateway.decision.durable-none-told"))
GOOD = Row(CRASH, is_hit=True, recovered_after_s=1.0)
REQUEST = PaymentRequest("01a20ffe-2b1d-7024-842b-2f554aa0d745", "ann@HDFC", "ben@SBI", 7, "INR")


@pytest.fixture
def config(tmp_path):
    banks = "".join(
        f"  {bank}: {{address: localhost:{1001 + n}}}\n" for n, bank in enumerate(("HDFC", "ICICI", "SBI"))
    )
    (tmp_path / "cluster.yaml").write_text(f"profile: test\nbanks:\n{banks}")
    return load(tmp_path / "cluster.yaml")


def test_each_point_has_a_cell_and_each_store_is_failed_as_well_as_killed(config):
    cells = list(make_cells(config, ["*"], 0, every_bank=False))
    assert {cell.point for cell in cells} == set(POINTS)
    assert {cell.action for cell in cells} == {"kill", "kill-twice", "full", "commit-then-error"}
    assert all(cell.action in cell.point.actions for cell in cells)


def test_every_bank_is_crashed_at_every_point_when_that_is_asked_for(config):
    cells = make_cells(config, ["bank.vote.*", "gateway.vote.received"], 0, every_bank=True)
    where = [(cell.process, cell.point.name) for cell in cells]
    banks = ("HDFC", "ICICI", "SBI")
    votes = [(bank, point) for point in ("bank.vote.durable-unsent", "bank.vote.sent") for bank in banks]
    assert where == [("gateway", "gateway.vote.received"), *votes]


def test_a_seed_draws_the_same_cells_whatever_part_of_them_is_run(config):
    cells = list(make_cells(config, ["*"], 7, every_bank=False))
    assert cells == list(make_cells(config, ["*"], 7, every_bank=False))
    assert cells != list(make_cells(config, ["*"], 8, every_bank=False))
    part = list(make_cells(config, ["bank.*"], 7, every_bank=False))
    assert part == [cell for cell in cells if cell.point.name.startswith("bank.")]


def test_each_provocation_is_carried_out_somehow_and_needed_somewhere():
    assert set(_PROVOCATIONS) == set(Provocation) == {point.provoked_by for point in POINTS}


@pytest.mark.parametrize(
    "row",
    [
        Row(CRASH, is_hit=False, recovered_after_s=None),
        Row(CRASH, is_hit=True, recovered_after_s=None),
        Row(CRASH, is_hit=True, recovered_after_s=1.0, money=("1 is gone",)),
        Row(CRASH, is_hit=True, recovered_after_s=1.0, in_doubt=("HDFC holds 1",)),
        Row(CRASH, is_hit=True, recovered_after_s=1.0, told=("a lie",)),
        Row(CRASH, is_hit=True, recovered_after_s=1.0, failure="cannot be judged"),
    ],
)
def test_a_row_is_good_only_if_it_was_hit_came_back_and_nothing_is_wrong(row):
    assert GOOD.is_good
    assert not row.is_good
    assert not make_document([GOOD, row], [], 0)["is_good"]
    assert summarise([GOOD, row], [], 0).startswith("1 of 2 crashes well survived")


def test_what_the_audit_finds_spoils_it_all():
    assert make_document([GOOD], [], 0)["is_good"]
    assert not make_document([GOOD], ["money: gone"], 0)["is_good"]
    assert "THE FILES DO NOT AGREE (1 findings)" in summarise([GOOD], ["money: gone"], 0)


class Gateway:
    """Answers for one payment with what a test says."""

    def __init__(self, seen, again):
        self.seen, self.again = seen, again

    def payment(self, payment_id):
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    def pay(self, request):
        return self.again


def result(outcome, reason="", *, replayed=True):
    return PaymentResult(REQUEST.payment_id, outcome, reason, replayed)


@pytest.mark.parametrize(
    ("seen", "again", "said"),
    [
        (result("committed"), result("committed"), None),
        (result("declined"), result("committed"), "on record is declined"),
        (result("committed"), result("declined", "insufficient_funds"), "sent again"),
        (result("committed"), result("committed", replayed=False), "sent again"),
        (NotFound("ann has no such payment"), result("committed"), "and now: ann has no such payment"),
    ],
)
def test_an_outcome_that_was_told_and_is_not_so_is_a_lie(seen, again, said):
    told = Told("ann", REQUEST, result("committed", replayed=False), 0.0, 1.0)
    lies = list(find_lies([told], {"ann": Gateway(seen, again)}))
    assert len(lies) == (said is not None)
    assert all(said in lie for lie in lies)
