"""Loads: which are chosen, and along which routes they pay."""

from collections import Counter

import pytest

from orchestrator.benchmark.loads import NAMES, Sizes, choose_loads
from orchestrator.benchmark.target import route_around, route_to_many


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["one"], ["one"]),
        (["unary"], ["unary, 64 callers"]),
        (["batch"], [f"batch, {size} a message, 4 callers" for size in ("64", "256", "1,024")]),
        (["many-banks", "one"], ["one", "many-banks, 1,024 a message, 4 callers"]),
    ],
)
def test_loads_come_in_one_order_however_they_are_named(names, titles):
    assert [load.title for load in choose_loads(names, Sizes())] == titles


def test_without_names_there_is_every_kind():
    loads = choose_loads([], Sizes())
    assert tuple(dict.fromkeys(load.name for load in loads)) == NAMES
    assert len({load.title for load in loads}) == len(loads)


def test_sizes_are_those_that_were_chosen():
    by_name = {load.name: load for load in choose_loads([], Sizes(callers=7, batches=(30, 20), banks=5))}
    assert by_name["unary"].callers == 7
    assert by_name["batch"].batch == 30  # the last of two, the smaller first
    assert by_name["hot-accounts"].batch == 30
    assert (by_name["many-banks"].banks, by_name["many-banks"].batch) == (5, 30)


def test_every_route_leads_from_a_payer_to_a_payee_of_another_bank():
    payers, payees, banks = ["p1", "p2"], ["q1", "q2", "q3"], ["AA", "BB", "CC"]
    routes = route_to_many(payers, payees, banks)
    assert list(routes) == payers
    for payer, own in routes.items():
        assert {route[0].partition("@")[0] for route in own} == {payer}
        assert {route[1].partition("@")[0] for route in own} == set(payees)
        assert all(source.partition("@")[2] != target.partition("@")[2] for source, target in own)
        used = Counter(account.partition("@")[2] for route in own for account in route)
        assert set(used) == set(banks)
        assert max(used.values()) < 1.2 * min(used.values())
    assert routes == route_to_many(payers, payees, banks)


def test_routes_around_ones_own_accounts_give_each_what_it_gave():
    [own] = route_around("alice", ["HDFC", "ICICI", "SBI"]).values()
    paid, received = zip(*own, strict=True)
    assert Counter(paid) == Counter(received)
    assert own[0] == ("alice@HDFC", "alice@ICICI")
