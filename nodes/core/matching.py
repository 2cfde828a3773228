"""Finds the payments whose records have to be looked at one by one: all but those that fit at first sight.

A payment that is committed moves something at each of its banks. What the decisions should
have moved and what the journals say has moved, as equal tuples, cancel each other, and
what is left over is suspect. So an audit costs a few operations on sets for each page,
and `nodes.core.reconciliation` has few payments to reason about. Suspect is also whatever
was aborted or comes more than once.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import compress
from typing import TypeVar

from nodes.core.books import Page, Pages
from nodes.core.ledger import clearing_account
from nodes.core.messages import Outcome, PaymentKey

Item = TypeVar("Item", bound=Hashable)

_Move = tuple[bytes, str, int, str, str, int, str]
"""(payment id, payer, epoch, debited account, credited account, minor units, currency) at one bank."""


class Matching:
    """Take pages of decisions and of journals, in any order; then `suspects` are known.

    What belongs together should come at about the same time: what has not met yet is kept in memory.
    """

    def __init__(self, banks: Iterable[str]) -> None:
        self._banks = {bank: _Side() for bank in banks}

    def take_decisions(self, page: Page) -> None:
        """Expect at each bank what these have moved there."""
        due: dict[str, list[_Move]] = {bank: [] for bank in self._banks}
        _, epochs, payment_ids, payers, payer_banks, payees, payee_banks, amounts_minor, currencies, *_ = page
        what = epochs, payment_ids, payers, payer_banks, payees, payee_banks, amounts_minor, currencies
        committed = [outcome == Outcome.COMMITTED for outcome in page[10]]
        for epoch, payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency in compress(
            zip(*what, strict=True), committed
        ):
            one_side, other_side = payee, payer
            if payer_bank != payee_bank:
                one_side, other_side = (
                    clearing_account(payee_bank, currency),
                    clearing_account(payer_bank, currency),
                )
                if payee_bank in due:
                    due[payee_bank].append((payment_id, payer, epoch, other_side, payee, amount_minor, currency))
            if payer_bank in due:
                due[payer_bank].append((payment_id, payer, epoch, payer, one_side, amount_minor, currency))
        for bank, moves in due.items():
            self._banks[bank].expect(moves)

    def take_entries(self, bank: str, page: Page) -> None:
        """Note what these have moved."""
        _, payment_ids, payers, epochs, outcomes, _, debits, credits_, amounts_minor, currencies, _ = page
        moves = zip(payment_ids, payers, epochs, debits, credits_, amounts_minor, currencies, strict=True)
        side = self._banks[bank]
        if set(outcomes) == {Outcome.COMMITTED} and None not in payment_ids:
            side.post(list(moves))
        else:
            found = [(move, outcome) for move, outcome in zip(moves, outcomes, strict=True) if move[0] is not None]
            side.post([move for move, outcome in found if outcome == Outcome.COMMITTED])
            side.suspects |= {move[:2] for move, outcome in found if outcome != Outcome.COMMITTED}

    def suspects(self) -> set[PaymentKey]:
        """Return the payments that do not fit."""
        return set().union(*(side.all_suspects() for side in self._banks.values()))


class _Side:
    """One bank's moves, due and posted; each of the two sets keeps what the other has not met yet."""

    def __init__(self) -> None:
        self.suspects: set[PaymentKey] = set()
        self._due: set[_Move] = set()
        self._posted: set[_Move] = set()

    def expect(self, moves: Sequence[_Move]) -> None:
        self._cancel(moves, self._due, self._posted)

    def post(self, moves: Sequence[_Move]) -> None:
        self._cancel(moves, self._posted, self._due)

    def all_suspects(self) -> set[PaymentKey]:
        return self.suspects.union(move[:2] for moves in (self._due, self._posted) for move in moves)

    def _cancel(self, moves: Sequence[_Move], own: set[_Move], other: set[_Move]) -> None:
        fresh = set(moves)
        # A set would take the same twice for once.
        self.suspects.update(move[:2] for move in _find_repeated(moves, fresh, own))
        met = fresh & other
        other -= met
        fresh -= met
        own |= fresh


def find_repeated_decisions(decisions: Pages, parts: int) -> set[PaymentKey]:
    """Return the payments that were decided more than once; they are looked at in so many parts."""
    repeated: set[PaymentKey] = set()
    for part in range(parts):
        seen: set[PaymentKey] = set()
        for page in decisions():
            keys = [key for key in zip(page[2], page[3], strict=True) if hash(key) % parts == part]
            fresh = set(keys)
            repeated |= _find_repeated(keys, fresh, seen)
            seen |= fresh
    return repeated


def _find_repeated(items: Sequence[Item], fresh: set[Item], seen: set[Item]) -> set[Item]:
    """Return which of the items, ``fresh`` as a set, come more than once or were ``seen`` before."""
    if len(fresh) == len(items) and seen.isdisjoint(fresh):
        return set()
    return {item for item, count in Counter([*items, *(seen & fresh)]).items() if count > 1}
