"""What banks' books tell of a gateway's lost records: row by row of the table, and nothing invented."""

import pytest

from nodes.core.books import BankBooks, Chain
from nodes.core.ledger import Account, Hold
from nodes.core.messages import LOST_MEMO, UNKNOWN_USER, Decision, Outcome, Payment, Reason
from nodes.core.rebuilding import Unrecoverable, rebuild
from nodes.core.recovery import RECORDS_LOST

ID = bytes(15) + b"a"
KEY = ID, "alice"
PAYMENT = Payment(ID, "alice", "SBI", "bob", "HDFC", 5, "INR", LOST_MEMO)
SIDES = {"SBI": ("alice", "@HDFC/INR"), "HDFC": ("@SBI/INR", "bob")}


def posted(bank, epoch=3, at_us=7):
    return (ID, "alice", epoch, 2, 0, *SIDES[bank], 5, "INR", at_us)


def aborted(epoch=3, reason=0, at_us=7):
    return (ID, "alice", epoch, 3, reason, "", "", 0, "", at_us)


def held(bank, epoch=3):
    return Hold(ID, "alice", epoch, *SIDES[bank], 5, "INR", 6)


def books(name, *entries, holds=()):
    others = [Account(f"@{other}/INR", "INR") for other in ("SBI", "HDFC") if other != name]
    rows = [(number, *entry) for number, entry in enumerate(entries, 1)]
    pages = [list(zip(*rows, strict=True))] if rows else []
    return BankBooks(
        name, [Account("alice", "INR"), *others], holds, lambda: iter(pages), Chain(lambda: iter(()), ())
    )


def look(sbi=(), hdfc=(), *, sbi_holds=(), hdfc_holds=(), known=()):
    return rebuild(known, 9, [books("SBI", *sbi, holds=sbi_holds), books("HDFC", *hdfc, holds=hdfc_holds)])


@pytest.mark.parametrize(
    "evidence",
    [
        {"sbi": [posted("SBI")], "hdfc": [posted("HDFC")]},
        {"sbi": [posted("SBI")], "hdfc_holds": [held("HDFC")]},
        {"sbi_holds": [held("SBI")], "hdfc": [posted("HDFC")]},
        {"sbi": [aborted(2), posted("SBI")], "hdfc": [posted("HDFC")]},
    ],
)
def test_what_any_bank_has_posted_was_committed(evidence):
    rebuilt = look(**evidence)
    assert rebuilt.decisions == [Decision(10, 3, PAYMENT, Outcome.COMMITTED, Reason.NONE, 7, 7)]
    assert (rebuilt.unknown, rebuilt.epoch) == ([], 3)


def test_a_payment_within_one_bank_is_known_whole():
    inside = (ID, "alice", 3, 2, 0, "alice", "bob", 5, "INR", 7)
    [decision] = look([inside]).decisions
    assert decision.payment == PAYMENT._replace(payee_bank="SBI")


def test_what_all_its_banks_hold_for_one_try_stays_unknown():
    rebuilt = look([aborted(2)], sbi_holds=[held("SBI")], hdfc_holds=[held("HDFC")])
    assert rebuilt.decisions == []
    assert [(*found[:3], found.recorded) for found in rebuilt.unknown] == 2 * [(*KEY, 3, RECORDS_LOST)]
    inside = Hold(ID, "alice", 3, "alice", "bob", 5, "INR", 6)
    assert len(look(sbi_holds=[inside]).unknown) == 1


@pytest.mark.parametrize(
    ("evidence", "epoch", "reason", "payment"),
    [
        ({"sbi_holds": [held("SBI")]}, 3, Reason.ABORTED_BY_BANK, PAYMENT._replace(payee=UNKNOWN_USER)),
        ({"hdfc_holds": [held("HDFC")]}, 3, Reason.ABORTED_BY_BANK, PAYMENT),
        ({"hdfc_holds": [held("HDFC")], "sbi_holds": [held("SBI", 4)]}, 4, Reason.ABORTED_BY_BANK, None),
        ({"hdfc_holds": [held("HDFC")], "sbi": [aborted(3, 1)]}, 3, Reason.INSUFFICIENT_FUNDS, PAYMENT),
        ({"sbi": [aborted(3, 1)], "hdfc": [aborted(4)]}, 4, Reason.INSUFFICIENT_FUNDS, None),
        ({"hdfc": [aborted(2)]}, 2, Reason.ABORTED_BY_BANK, None),
    ],
)
def test_anything_else_was_declined(evidence, epoch, reason, payment):
    [decision] = look(**evidence).decisions
    assert (decision.outcome, decision.epoch, decision.reason) == (Outcome.DECLINED, epoch, reason)
    assert payment in (None, decision.payment)
    assert decision.payment.key == KEY


def test_what_is_known_is_left_as_it_is_and_the_rest_numbered_in_time():
    rebuilt = look([posted("SBI")], [posted("HDFC")], known={KEY})
    assert (rebuilt.decisions, rebuilt.unknown) == ([], [])
    rebuilt = look([posted("SBI")], sbi_holds=[held("SBI")], hdfc_holds=[held("HDFC")], known={KEY})
    assert (rebuilt.decisions, rebuilt.unknown) == ([], [])
    later = (bytes(16), "alice", 5, 3, 1, "", "", 0, "", 2)
    rebuilt = look([posted("SBI"), later], [posted("HDFC")])
    assert [(each.sequence, each.payment.payment_id) for each in rebuilt.decisions] == [(10, bytes(16)), (11, ID)]
    assert rebuilt.epoch == 5
    assert look([later, posted("SBI")], [posted("HDFC")]).epoch == 5


def test_a_promise_alone_tells_of_the_epoch_that_it_is_of():
    assert look(sbi_holds=[held("SBI", 7)]).epoch == 7
    assert look([posted("SBI")], hdfc_holds=[held("HDFC", 8)]).epoch == 8


def test_books_that_are_missing_or_older_are_named():
    with pytest.raises(Unrecoverable, match="SBI has dealt with HDFC, whose books are needed, too"):
        rebuild((), 0, [books("SBI")])
    said = "is posted at SBI, and HDFC neither posted nor holds it: its books are older"
    with pytest.raises(Unrecoverable, match=said):
        look([posted("SBI")])
