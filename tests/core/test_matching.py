"""Matching: what fits is no suspect, in whatever order it comes; whatever else there is, is."""

from itertools import permutations

import pytest

from nodes.core.matching import Matching, find_repeated_decisions

A, B = bytes(15) + b"a", bytes(15) + b"b"


def decision(payment_id, payer_bank="SBI", payee_bank="HDFC", amount_minor=5, outcome=2, epoch=1):
    return (
        9,
        epoch,
        payment_id,
        "alice",
        payer_bank,
        "bob",
        payee_bank,
        amount_minor,
        "INR",
        "",
        outcome,
        0,
        1,
        2,
    )


def entry(payment_id, debit, credit, amount_minor=5, outcome=2, epoch=1, currency="INR"):
    return (9, payment_id, "alice", epoch, outcome, 0, debit, credit, amount_minor, currency, 3)


ABROAD = entry(A, "@SBI/INR", "bob", currency="USD")
PAID, RECEIVED = entry(A, "alice", "@HDFC/INR"), entry(A, "@SBI/INR", "bob")
INSIDE = entry(B, "alice", "bob")
OPENING = entry(None, "@paid-in/INR", "alice")


def suspects(*pages):
    matching = Matching(["SBI", "HDFC"])
    for bank, *rows in pages:
        page = list(zip(*rows, strict=True))
        if bank == "gateway":
            matching.take_decisions(page)
        else:
            matching.take_entries(bank, page)
    return {key[0] for key in matching.suspects()}


def test_what_fits_is_no_suspect_in_whatever_order_its_pages_come():
    both = ("gateway", decision(A), decision(B, "SBI", "SBI")), ("SBI", OPENING, PAID, INSIDE), ("HDFC", RECEIVED)
    apart = (
        ("gateway", decision(A)),
        ("gateway", decision(B, "SBI", "SBI")),
        ("SBI", INSIDE, PAID),
        ("HDFC", RECEIVED),
    )
    for pages in (*permutations(both), *permutations(apart)):
        assert suspects(*pages) == set()


SUSPECT = [
    ("it was not posted", [("gateway", decision(A)), ("SBI", PAID)]),
    ("it was not decided", [("SBI", PAID)]),
    ("it was declined", [("gateway", decision(A, outcome=3)), ("SBI", PAID), ("HDFC", RECEIVED)]),
    ("it was aborted", [("SBI", entry(A, "", "", 0, outcome=3))]),
    ("another amount", [("gateway", decision(A)), ("SBI", PAID), ("HDFC", entry(A, "@SBI/INR", "bob", 6))]),
    ("another currency", [("gateway", decision(A)), ("SBI", PAID), ("HDFC", ABROAD)]),
    ("another account", [("gateway", decision(A)), ("SBI", PAID), ("HDFC", entry(A, "@SBI/INR", "eve"))]),
    ("another epoch was posted", [("gateway", decision(A, epoch=2)), ("SBI", PAID), ("HDFC", RECEIVED)]),
    ("it was posted twice", [("gateway", decision(A)), ("SBI", PAID, PAID), ("HDFC", RECEIVED)]),
    ("it comes twice", [("SBI", PAID), ("SBI", PAID), ("gateway", decision(A)), ("HDFC", RECEIVED)]),
    ("it was posted at the other bank", [("gateway", decision(A)), ("HDFC", PAID), ("SBI", RECEIVED)]),
]  # fmt: skip


@pytest.mark.parametrize("pages", [case[1] for case in SUSPECT], ids=[case[0] for case in SUSPECT])
def test_what_does_not_fit_is_suspect_and_nothing_else(pages):
    fits = ("gateway", decision(B, "SBI", "SBI")), ("SBI", INSIDE)
    for order in permutations(pages):
        assert suspects(fits[0], *order, fits[1]) == {A}


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_each_payment_that_was_decided_more_than_once_is_found_in_however_many_parts(parts):
    ids = [bytes(15) + bytes([number]) for number in range(60)]
    once, twice = ids[:30], ids[30:]
    pages = [
        list(zip(*map(decision, each), strict=True)) for each in (once + twice[:15], twice[:15] + 2 * twice[15:])
    ]
    assert {key[0] for key in find_repeated_decisions(lambda: iter(pages), parts)} == set(twice)
