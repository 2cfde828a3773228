"""What a bank gone bad says of others, or in words that nothing can be made of, is refused before it is used."""

import pytest
from interbank.v1 import bank_pb2 as pb
from interbank.v1 import payment_pb2

from nodes.core.soundness import Unsound
from nodes.gateway.bank_words import demand_own_balances, demand_own_cut, demand_own_totals

HEAD = pb.ChainHead(number=1, last_sequence=1, hash=bytes(32))


def cut(currency="INR", other="SBI", **fields):
    totals = pb.CutTotals(currency=currency, paid_in_minor=5, due_to_minor={other: 5})
    return pb.BankCut(**{"number": 1, "bank": "HDFC", "head": HEAD, "totals": [totals]} | fields)


def balance(account="alice@HDFC", currency="INR"):
    return payment_pb2.Balance(account=account, posted_minor=5, currency=currency)


def balances(*found):
    return pb.GetBalancesResponse(balances=found)


def sums(bank="HDFC", *currencies):
    return pb.GetTotalsResponse(bank=bank, totals=[pb.CurrencyTotals(currency=each) for each in currencies])


GOOD = [
    (demand_own_cut, ("HDFC", cut())),
    (demand_own_cut, ("HDFC", pb.BankCut(number=1, bank="HDFC", head=HEAD))),
    (demand_own_balances, ("HDFC", "alice", balances())),
    (demand_own_balances, ("HDFC", "alice", balances(balance()))),
    (demand_own_totals, ("HDFC", sums("HDFC", "INR", "USD"))),
]

BAD = [
    (demand_own_cut, ("HDFC", cut(bank="SBI"))),
    (demand_own_cut, ("HDFC", cut(bank=""))),
    (demand_own_cut, ("HDFC", cut(currency="ZZZ"))),
    (demand_own_cut, ("HDFC", cut(currency=""))),
    (demand_own_cut, ("HDFC", cut(other="\x1b[2J"))),
    (demand_own_cut, ("HDFC", cut(totals=[pb.CutTotals(currency="INR")] * 2))),
    (demand_own_cut, ("HDFC", cut(head=pb.ChainHead(hash=b"short")))),
    (demand_own_balances, ("HDFC", "alice", balances(balance("alice@SBI")))),
    (demand_own_balances, ("HDFC", "alice", balances(balance("bob@HDFC")))),
    (demand_own_balances, ("HDFC", "alice", balances(balance(), balance()))),
    (demand_own_balances, ("HDFC", "alice", balances(balance(currency="ZZZ")))),
    (demand_own_totals, ("HDFC", sums("SBI", "INR"))),
    (demand_own_totals, ("HDFC", sums("HDFC", "ZZZ"))),
    (demand_own_totals, ("HDFC", sums("HDFC", "INR", "INR"))),
]


@pytest.mark.parametrize(("demand", "said"), GOOD)
def test_what_a_bank_says_of_itself_is_believed(demand, said):
    demand(*said)


@pytest.mark.parametrize(("demand", "said"), BAD)
def test_what_it_says_of_others_or_of_nothing_is_refused(demand, said):
    with pytest.raises(Unsound):
        demand(*said)
