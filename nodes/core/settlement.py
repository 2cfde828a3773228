"""Net positions between banks: what each owes each, read from their own clearing accounts.

At a moment at which every bank has carried out the same decisions, what one bank says
that it owes another is what the other says that it is owed; so all positions sum to
zero. If they do not, a payment was posted at one bank and not at the other.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Clearing(NamedTuple):
    """One bank's own accounts in one currency: what was paid in, and what it owes each other bank."""

    paid_in: int
    due_to: Mapping[str, int]

    @property
    def customers(self) -> int:
        """What its customers own: the rest of books that sum to zero."""
        return self.paid_in - sum(self.due_to.values())


Positions = Mapping[str, Mapping[str, Clearing]]
"""Of each bank, by currency."""


def find_imbalances(positions: Positions) -> list[str]:
    """Say for each two banks whose clearing accounts do not mirror each other by how much they differ."""
    owed: dict[tuple[str, str, str], int] = {}
    for bank, currencies in positions.items():
        for currency, clearing in currencies.items():
            for other, due_minor in clearing.due_to.items():
                pair = currency, min(bank, other), max(bank, other)
                owed[pair] = owed.get(pair, 0) + due_minor
    return [
        f"{one} and {other} differ by {abs(gap)} {currency} in what they owe each other"
        for (currency, one, other), gap in sorted(owed.items())
        if gap
    ]


def sum_paid_in(positions: Positions) -> dict[str, int]:
    """Return what was paid in at all banks, by currency."""
    paid_in: dict[str, int] = {}
    for currencies in positions.values():
        for currency, clearing in currencies.items():
            paid_in[currency] = paid_in.get(currency, 0) + clearing.paid_in
    return paid_in
