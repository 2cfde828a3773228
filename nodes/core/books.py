"""What an auditor reads of each node, from its file or from its own mouth: plain values, and streams of records.

Streams are read several times, so they are functions that begin anew. They give records in
pages of columns: a node has millions of records, and whole columns are compared, hashed and
gone through at a fraction of what rows cost. Records that were altered by hand may hold
anything: numbers stand here as they are found, not as enums.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from nodes.core.chain import Head, Heard
from nodes.core.ledger import Account, Entry, Hold
from nodes.core.messages import Contradiction, Decision, Outcome, Payment, PaymentKey
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution

Row = tuple[Any, ...]
"""A record as it stands in the node's table; its sequence comes first."""

Page = Sequence[Sequence[Any]]
"""Some thousand records, at least one, in the order of their sequences: the columns of the node's table."""

Pages = Callable[[], Iterator[Page]]
"""Begins anew to give all records."""


class Chain(NamedTuple):
    """The links of a node's chain, oldest first, and (number of the link, what it covers besides records)."""

    links: Callable[[], Iterator[Head]]
    heard: Sequence[tuple[int, Heard]]
    acts: Sequence[tuple[int, str]] = ()
    jumps: Mapping[int, int] = MappingProxyType({})
    """Which link each link of a recovery follows."""

    def newest(self) -> Head | None:
        """Return the newest link, None if there is none. Reads all."""
        return next(iter(deque(self.links(), maxlen=1)), None)

    def with_acts(self, resolutions: Sequence[tuple[int, Resolution]], recoveries: Sequence[Recovery]) -> Self:
        """Return the chain with what operators did, each in its link."""
        acts = [(link, resolution.act) for link, resolution in resolutions]
        acts += [(recovery.link, recovery.act) for recovery in recoveries]
        return self._replace(acts=acts, jumps={recovery.link: recovery.follows for recovery in recoveries})


class GatewayBooks(NamedTuple):
    """The gateway's records: what it decided (rows are for `read_decision`), and more."""

    epoch: int
    decisions: Pages
    contradictions: Sequence[Contradiction]
    resolutions: Sequence[Resolution]
    chain: Chain
    recoveries: Sequence[Recovery] = ()


class BankBooks(NamedTuple):
    """A bank's records: its journal (rows are for `read_entry`), and what stands in its accounts and holds."""

    name: str
    accounts: Sequence[Account]
    holds: Sequence[Hold]
    entries: Pages
    chain: Chain


class Told(NamedTuple):
    """What a client was told of a payment: an outcome, or None if it was never sent or never taken."""

    key: PaymentKey
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    outcome: Outcome | None


def read_decision(row: Row) -> Decision:
    """Return what a row of the gateway says."""
    sequence, epoch, *payment, outcome, reason, created_at_us, decided_at_us = row
    return Decision(sequence, epoch, Payment(*payment), outcome, reason, created_at_us, decided_at_us)


def read_entry(row: Row) -> Entry:
    """Return what a row of a bank says."""
    return Entry(*row[1:])
