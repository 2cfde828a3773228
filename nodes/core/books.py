"""What an auditor reads of each node, from its file or from its own mouth: plain values, and streams of records.

Streams are read several times, so they are functions that begin anew. Records that were
altered by hand may hold anything: numbers stand here as they are found, not as enums.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nodes.core.chain import Head, Heard, Record
from nodes.core.ledger import Account, Entry, Hold
from nodes.core.messages import Contradiction, Decision, Outcome, PaymentKey
from nodes.core.resolution import Resolution


class Chain(NamedTuple):
    """The links of a node's chain, oldest first, and (number of the link, what was heard with it)."""

    links: Callable[[], Iterator[Head]]
    heard: Sequence[tuple[int, Heard]]


class GatewayBooks(NamedTuple):
    """The gateway's records: what it decided."""

    epoch: int
    decisions: Callable[[], Iterator[Decision]]
    contradictions: Sequence[Contradiction]
    resolutions: Sequence[Resolution]
    chain: Chain


class BankBooks(NamedTuple):
    """A bank's records: (sequence, entry) of its journal, and what stands in its accounts and holds."""

    name: str
    accounts: Sequence[Account]
    holds: Sequence[Hold]
    entries: Callable[[], Iterator[tuple[int, Entry]]]
    chain: Chain


class Told(NamedTuple):
    """What a client was told of a payment: an outcome, or None if it was never sent or never taken."""

    key: PaymentKey
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    outcome: Outcome | None


def decision_record(decision: Decision) -> tuple[int, Record]:
    """Return (sequence, what the chain hashes) of a decision."""
    sequence, epoch, payment, *rest = decision
    return sequence, (sequence, epoch, *payment, *rest)
