"""What must hold at a consistent cut, told from what was decided before its markers were sent.

Each bank's books hold all of that and nothing from after, payment by payment and sum by sum; so between
all banks money is neither made nor lost at that moment, with what is held counted where it is. Nothing
here knows how a cut is taken.
"""

from collections.abc import Mapping
from typing import NamedTuple

from interbank.v1 import bank_pb2 as pb

from nodes.bank import turn as bank_turn
from nodes.core.messages import Decision, PaymentKey
from tests.simulator.violation import demand

_COMMITTED = 2
JOURNAL = "SELECT payment_id, payer, outcome, debit_account, credit_account, amount_minor FROM journal"

Decided = Mapping[PaymentKey, Decision]


class Standing(NamedTuple):
    """A bank at a cut: ``kept`` as it took it, ``said`` as the gateway hears it, its journal up to its head."""

    kept: bank_turn.Cut
    said: pb.BankCut
    journal: list[tuple]


def check_cut(before: Decided, banks: Mapping[str, Standing]) -> None:
    """Check a cut of all ``banks``; ``before`` is all that was decided before it."""
    committed = {key: made for key, made in before.items() if made.is_committed}
    _demand_mirrored(banks)
    for name, standing in banks.items():
        _demand_same_payments(name, standing, committed)
        _demand_sums(name, standing, committed)
        if standing.kept.accounts is not None:
            _demand_folded(name, standing)
            _demand_undecided(name, standing, before)


def _demand_mirrored(banks: Mapping[str, Standing]) -> None:
    owed: dict[tuple[str, ...], int] = {}
    for name, standing in banks.items():
        for other, due_minor in _due(standing).items():
            pair = tuple(sorted((name, other)))
            owed[pair] = owed.get(pair, 0) + due_minor
    demand(not any(owed.values()), "I1 no money is made or lost at a cut: banks agree on what they owe", owed)


def _demand_same_payments(name: str, standing: Standing, committed: Decided) -> None:
    rows = [row for row in standing.journal if row[0] is not None and row[2] == _COMMITTED]
    found = {row[:2] for row in rows}
    wanted = {key for key, made in committed.items() if name in made.payment.banks}
    demand(found <= wanted, f"I13 {name} has posted nothing at a cut that was decided after it", found - wanted)
    demand(found >= wanted, f"I13 {name} has posted all at a cut that was decided before it", wanted - found)


def _demand_sums(name: str, standing: Standing, committed: Decided) -> None:
    wanted: dict[str, int] = {}
    for made in committed.values():
        payment = made.payment
        if name in payment.banks and len(payment.banks) > 1:
            is_payer = name == payment.payer_bank
            other, sign = (payment.payee_bank, 1) if is_payer else (payment.payer_bank, -1)
            wanted[other] = wanted.get(other, 0) + sign * payment.amount_minor
    found = {other: due_minor for other, due_minor in _due(standing).items() if due_minor}
    wanted = {other: due_minor for other, due_minor in wanted.items() if due_minor}
    demand(found == wanted, f"I13 {name} owes at a cut what was decided before it", (found, wanted))


def _demand_folded(name: str, standing: Standing) -> None:
    """Accounts that are kept for an audit are what journal and holds of that moment give."""
    folded: dict[str, list[int]] = {}
    for _, _, outcome, debit, credit, amount_minor in standing.journal:
        if outcome == _COMMITTED:
            folded.setdefault(debit, [0, 0, 0])[0] -= amount_minor
            folded.setdefault(credit, [0, 0, 0])[0] += amount_minor
    for hold in standing.kept.holds:
        folded.setdefault(hold.debit_account, [0, 0, 0])[1] += hold.amount_minor
        folded.setdefault(hold.credit_account, [0, 0, 0])[2] += hold.amount_minor
    accounts = standing.kept.accounts or ()
    kept = {account.name: [account.posted, account.held, account.incoming] for account in accounts}
    kept = {account: sums for account, sums in kept.items() if any(sums)}
    folded = {account: sums for account, sums in folded.items() if any(sums)}
    demand(kept == folded, f"I1 the books of {name} at a cut fold from its journal and holds", (kept, folded))


def _demand_undecided(name: str, standing: Standing, before: Decided) -> None:
    holds = standing.kept.holds
    demand(standing.said.in_doubt == len(holds), f"I13 {name} says at a cut how much it holds", standing.said)
    for hold in holds:
        made = before.get(hold.key)
        is_over = made is not None and made.epoch == hold.epoch
        demand(not is_over, f"I13 {name} holds nothing at a cut that was decided before it", (hold, made))


def _due(standing: Standing) -> dict[str, int]:
    """Return what a bank says that it owes each other; of another currency nobody has any money."""
    due: dict[str, int] = {}
    for totals in standing.said.totals:
        due |= {other: due_minor for other, due_minor in totals.due_to_minor.items() if totals.currency == "INR"}
    return due
