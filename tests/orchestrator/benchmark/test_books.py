"""The check after a load: each way in which books can be wrong is told, and clean ones are clean."""

from types import SimpleNamespace

import pytest
from interbank.v1.bank_pb2 import CurrencyTotals, GetTotalsResponse
from interbank.v1.operator_pb2 import CollectTotalsResponse

from nodes.core.audit import Report
from nodes.core.reconciliation import Finding
from orchestrator.benchmark import books
from orchestrator.benchmark.books import find_audit_faults, find_faults, find_open_faults


class FakeGateway:
    """A gateway with these books, and 110 payments on record."""

    def __init__(self, totals):
        self._totals = totals

    def collect_totals(self):
        return self._totals

    def status(self):
        return SimpleNamespace(gateway=SimpleNamespace(committed=110))


def totals(*, customers=700, due=300, in_doubt=0, faults=(), away=()):
    """HDFC has 1,000 paid in, of which 300 are now ICICI's customers'."""
    return CollectTotalsResponse(
        banks=[
            GetTotalsResponse(
                bank="HDFC",
                totals=[
                    CurrencyTotals(
                        currency="INR", customers_minor=customers, paid_in_minor=1000, due_to_minor={"ICICI": due}
                    )
                ],
                in_doubt=in_doubt,
                faults=faults,
            ),
            GetTotalsResponse(
                bank="ICICI",
                totals=[
                    CurrencyTotals(
                        currency="INR", customers_minor=800, paid_in_minor=500, due_to_minor={"HDFC": -300}
                    )
                ],
            ),
        ],
        unavailable_banks=away,
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"customers": 701}, ["customers own 1501 of the 1500 minor units of INR that were paid in"]),
        ({"due": 299}, ["what the banks owe each other adds up to -1 minor units of INR, not to 0"]),
        ({"in_doubt": 2}, ["HDFC has 2 in doubt"]),
        ({"faults": ["account alice is gone"]}, ["HDFC: account alice is gone"]),
        ({"away": ["SBI"]}, ["SBI cannot be asked for its books"]),
    ],
)
def test_each_fault_is_told(monkeypatch, changed, said):
    monkeypatch.setattr(books, "_QUIET_WITHIN_S", 0.1)
    assert find_faults(FakeGateway(totals(**changed)), committed=100, acknowledged=10) == said


def test_what_was_acknowledged_and_is_not_on_record_is_lost():
    gateway = FakeGateway(totals())
    assert find_faults(gateway, committed=100, acknowledged=11) == [
        "11 payments were acknowledged, and only 10 are on record"
    ]


def test_what_was_recorded_and_not_acknowledged_is_no_loss():
    assert find_faults(FakeGateway(totals()), committed=100, acknowledged=9) == []


class FakeMeter:
    """Nodes with so many transactions in doubt, look after look, and 110 payments on record."""

    def __init__(self, *in_doubt):
        self._in_doubt = list(in_doubt)

    def count_in_doubt(self):
        return self._in_doubt.pop(0) if len(self._in_doubt) > 1 else self._in_doubt[0]

    def count_committed(self):
        return 110


@pytest.mark.parametrize(
    ("in_doubt", "acknowledged", "said"),
    [
        ([0], 10, []),
        ([7, 3, 0], 10, []),
        ([0], 9, []),  # recorded, and the answer was lost
        ([0], 11, ["11 payments were acknowledged, and only 10 are on record"]),
        ([2], 10, ["2 transactions are still in doubt after 0.2 s"]),
    ],
)
def test_nothing_may_be_in_doubt_for_long_nor_be_lost(monkeypatch, in_doubt, acknowledged, said):
    monkeypatch.setattr(books, "_QUIET_WITHIN_S", 0.2)
    assert find_open_faults(FakeMeter(*in_doubt), committed=100, acknowledged=acknowledged) == said


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (1, 1), (5, 5), (6, 6), (1000, 6)])
def test_what_the_audit_finds_is_told_the_first_of_it_by_name(count, lines):
    findings = [Finding("money", "HDFC", f"thing {number}") for number in range(count)]
    told = find_audit_faults(lambda: Report(findings, {}, 0, 0, 0, ()))
    assert len(told) == lines
    assert told[:5] == [f"money: HDFC: thing {number}" for number in range(min(count, 5))]
    assert count <= 5 or told[5] == f"and {count - 5} more"
