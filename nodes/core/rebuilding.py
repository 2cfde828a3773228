"""What of the gateway's records can be made anew from the banks' books, when they were lost or are an old copy.

Nothing is invented. What a bank has on record is evidence of what was decided:

    ====================================  ==========================================================
    what banks have of a payment          what was decided
    ====================================  ==========================================================
    posted at any of its banks            committed: nobody posts without the decision
    held at all of its banks for one try  unknown: it may have been committed, and its payer told
    anything else                         declined: no try of it got all votes, or it was aborted
    ====================================  ==========================================================

What is unknown stays in doubt until an operator settles it (`nodes.core.resolution`), and
is not begun again under its id. The books of every bank are needed: the missing one may hold
the only trace. What leaves no trace at any bank is gone: memos, and payments that were declined
before a bank had heard of them, which are tried anew when they are sent again.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from nodes.core.books import BankBooks, read_entry
from nodes.core.ledger import Entry, Hold, find_other_bank
from nodes.core.messages import (
    LOST_MEMO,
    UNKNOWN_USER,
    Contradiction,
    Decision,
    Outcome,
    Payment,
    PaymentKey,
    Reason,
)
from nodes.core.recovery import RECORDS_LOST
from nodes.core.violations import format_payment_id


class Unrecoverable(Exception):
    """The books do not suffice; the message says why, and what is missing."""


class Rebuilt(NamedTuple):
    """Decisions, oldest first, numbered on; what stays unknown; and the newest epoch that banks have seen."""

    decisions: list[Decision]
    unknown: list[Contradiction]
    epoch: int


class _Evidence:
    """What banks have on record of one payment."""

    def __init__(self) -> None:
        self.posted: dict[str, Entry] = {}
        self.aborted: dict[str, Entry] = {}
        self.held: dict[str, Hold] = {}


def rebuild(known: Container[PaymentKey], last_sequence: int, banks: Sequence[BankBooks]) -> Rebuilt:
    """Return what the gateway must have on record of all payments that are not ``known`` to it.

    Raises `Unrecoverable`. ``last_sequence`` is that of its newest decision.
    """
    _demand_all_banks(banks)
    currencies = {bank.name: bank.accounts[0].currency for bank in banks if bank.accounts}
    decisions: list[Decision] = []
    unknown: list[Contradiction] = []
    epoch = 0
    for key, evidence in _gather(known, banks).items():
        epoch = max(epoch, *(each.epoch for each in _all(evidence)))
        if not evidence.posted and _is_unknown(evidence):
            unknown += _name_unknown(key, evidence)
        elif evidence.posted:
            decisions.append(_recall_commit(key, evidence))
        else:
            decisions.append(_recall_decline(key, evidence, currencies))
    decisions.sort(key=lambda decision: decision.decided_at_us)
    numbered = [each._replace(sequence=number) for number, each in enumerate(decisions, last_sequence + 1)]
    return Rebuilt(numbered, unknown, epoch)


def _demand_all_banks(banks: Sequence[BankBooks]) -> None:
    names = {bank.name for bank in banks}
    for bank in banks:
        for account in bank.accounts:
            other = find_other_bank(account.name)
            if other and other not in names:
                raise Unrecoverable(f"{bank.name} has dealt with {other}, whose books are needed, too")


def _gather(known: Container[PaymentKey], banks: Iterable[BankBooks]) -> dict[PaymentKey, _Evidence]:
    gathered: dict[PaymentKey, _Evidence] = {}
    for bank in banks:
        for page in bank.entries():
            for row in zip(*page, strict=True):
                key = row[1], row[2]
                if row[1] is not None and key not in known:
                    entry = read_entry(row)
                    evidence = gathered.setdefault(key, _Evidence())
                    is_posted = entry.outcome == Outcome.COMMITTED
                    (evidence.posted if is_posted else evidence.aborted)[bank.name] = entry
        for hold in bank.holds:
            if hold.key not in known:
                gathered.setdefault(hold.key, _Evidence()).held[bank.name] = hold
    return gathered


def _all(evidence: _Evidence) -> Iterator[Entry | Hold]:
    yield from evidence.posted.values()
    yield from evidence.aborted.values()
    yield from evidence.held.values()


def _is_unknown(evidence: _Evidence) -> bool:
    """Tell whether all banks of one try hold it: all have voted yes."""
    for hold in evidence.held.values():
        others = {other for name in (hold.debit_account, hold.credit_account) if (other := find_other_bank(name))}
        if all(other in evidence.held and evidence.held[other].epoch == hold.epoch for other in others):
            return True
    return False


def _name_unknown(key: PaymentKey, evidence: _Evidence) -> Iterator[Contradiction]:
    for bank, hold in evidence.held.items():
        yield Contradiction(*key, hold.epoch, f"{bank} holds it for epoch {hold.epoch}", RECORDS_LOST)


def _recall_commit(key: PaymentKey, evidence: _Evidence) -> Decision:
    bank, entry = next(iter(evidence.posted.items()))
    payment = _read_payment(key, bank, entry)
    if payment.payee == UNKNOWN_USER:
        others: dict[str, Entry | Hold] = {**evidence.held, **evidence.posted}
        other = others.get(payment.payee_bank)
        if other is None:
            said = f"payment {format_payment_id(key[0])} of {key[1]} is posted at {bank}, and"
            raise Unrecoverable(f"{said} {payment.payee_bank} neither posted nor holds it: its books are older")
        payment = payment._replace(payee=other.credit_account)
    at_us = min(each.at_us for each in evidence.posted.values())
    return Decision(0, entry.epoch, payment, Outcome.COMMITTED, Reason.NONE, at_us, at_us)


def _recall_decline(key: PaymentKey, evidence: _Evidence, currencies: dict[str, str]) -> Decision:
    at_us = min(each.at_us for each in _all(evidence))
    epoch = max(each.epoch for each in _all(evidence))
    reason = next((entry.reason for entry in evidence.aborted.values() if entry.reason), Reason.ABORTED_BY_BANK)
    if evidence.held:
        payment = _read_payment(key, *next(iter(evidence.held.items())))
    else:
        bank = next(iter(evidence.aborted))
        payment = Payment(*key, bank, UNKNOWN_USER, bank, 0, currencies[bank], LOST_MEMO)
    return Decision(0, epoch, payment, Outcome.DECLINED, Reason(reason), at_us, at_us)


def _read_payment(key: PaymentKey, bank: str, moved: Entry | Hold) -> Payment:
    """Return a payment as far as one of its banks knows it: the payer's does not know who is paid."""
    payer_bank = find_other_bank(moved.debit_account) or bank
    payee_bank = find_other_bank(moved.credit_account)
    payee = UNKNOWN_USER if payee_bank else moved.credit_account
    amount = moved.amount_minor, moved.currency
    return Payment(*key, payer_bank, payee, payee_bank or bank, *amount, LOST_MEMO)
