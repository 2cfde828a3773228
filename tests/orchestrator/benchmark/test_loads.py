"""Loads: which are chosen, and along which routes they pay."""

from collections import Counter
from itertools import islice, permutations

import pytest

from orchestrator.benchmark.loads import NAMES, Call, Sizes, choose_loads
from orchestrator.benchmark.orders import Order
from orchestrator.benchmark.routes import circle, draw_routes


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["one"], ["one"]),
        (["unary"], ["unary, 64 at once"]),
        (["callers"], ["callers, 128 at once"]),
        (["batch"], [f"batch, {size} a message" for size in ("64", "256", "1,024")]),
        (["many-banks", "one"], ["one", "many-banks, 1,024 a message"]),
    ],
)
def test_loads_come_in_one_order_however_they_are_named(names, titles):
    assert [load.title for load in choose_loads(names, Sizes())] == titles


def test_without_names_there_is_every_kind():
    loads = choose_loads([], Sizes())
    assert tuple(dict.fromkeys(load.name for load in loads)) == NAMES
    assert len({load.title for load in loads}) == len(loads)


def test_sizes_are_those_that_were_chosen():
    sizes = Sizes(callers=7, batches=(30, 20), banks=5, accounts=2000, histories=(9, 8))
    by_name = {load.name: load for load in choose_loads([], sizes)}
    assert by_name["unary"].callers == 7
    assert by_name["batch"].batch == 30  # the last of two, the smaller first
    assert by_name["hot-accounts"].batch == 30
    assert (by_name["history"].history, by_name["history"].title) == (9, "history, 30 a message, 9 before")
    assert by_name["many-accounts"].title == "many-accounts, 30 a message, 2,000 accounts"
    assert (by_name["many-banks"].banks, by_name["many-banks"].batch) == (5, 30)


def test_every_route_leads_from_the_payer_to_some_payee_of_another_bank():
    routes = list(islice(draw_routes("payer", 3, ["AA", "BB", "CC"]), 6000))
    assert {source.partition("@")[0] for source, _ in routes} == {"payer"}
    assert {target.partition("@")[0] for _, target in routes} == {"payee-0", "payee-1", "payee-2"}
    directions = Counter((source.partition("@")[2], target.partition("@")[2]) for source, target in routes)
    assert set(directions) == set(permutations(["AA", "BB", "CC"], 2))
    assert max(directions.values()) < 1.3 * min(directions.values())


def test_routes_around_ones_own_accounts_give_each_what_it_gave():
    own = list(islice(circle("alice", ["HDFC", "ICICI", "SBI"]), 9))
    paid, received = zip(*own, strict=True)
    assert Counter(paid) == Counter(received) == dict.fromkeys(["alice@HDFC", "alice@ICICI", "alice@SBI"], 3)
    assert own[0] == ("alice@HDFC", "alice@ICICI")


@pytest.mark.parametrize("payees", [0, 5])
def test_an_order_travels_without_a_word_too_much(payees):
    order = Order(
        address="localhost:1", ca="ca", certificate="crt", key="key", payers=["p"], payees=payees,
        banks=["AA", "BB"], password="secret", call=Call.STREAM, callers=4, batch=64, currency="INR",
        warm_up_s=0.5, for_s=1.0,
    )  # fmt: skip
    assert Order.from_json(order.to_json()) == order
    assert "secret" not in repr(order)
