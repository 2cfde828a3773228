"""From which account to which: endless, and cheap to draw."""

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, permutations

Route = tuple[str, str]


def draw_routes(payer: str, payees: int, banks: Sequence[str]) -> Iterator[Route]:
    """Yield (account of ``payer``, account of ``payee-<number>``) at two different banks, all by lot."""
    lot = random.Random(payer)  # noqa: S311 - a load, not a secret
    pairs = list(permutations(banks, 2))
    while True:
        payer_bank, payee_bank = pairs[int(lot.random() * len(pairs))]
        yield f"{payer}@{payer_bank}", f"payee-{int(lot.random() * payees)}@{payee_bank}"


def circle(user: str, banks: Sequence[str]) -> Iterator[Route]:
    """Yield the way around a user's own accounts: what leaves one comes into the next, so none runs dry."""
    accounts = [f"{user}@{bank}" for bank in banks]
    return cycle(zip(accounts, [*accounts[1:], accounts[0]], strict=True))
