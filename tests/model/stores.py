"""Stores as plain values: what the turns need of `GatewayStore` and `BankStore`, without a database.

A store is made from a value, used for one turn, and read as a value again, so that a
state can be kept, compared and gone back to. tests/model/test_stores.py holds them
against the real ones.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from nodes.core.ledger import Account, Changes, Entry, Hold
from nodes.core.messages import Contradiction, Decision, PaymentKey


class Refused(Exception):
    """The database's constraints forbid this; the process would die."""


class GatewayDisk(NamedTuple):
    """The gateway's durable state."""

    epoch: int = 0
    decisions: tuple[Decision, ...] = ()


class PlainGatewayStore:
    """What a turn of the gateway asks of its store."""

    def __init__(self, disk: GatewayDisk) -> None:
        self.disk = disk

    def begin_epoch(self) -> int:
        """Raise the epoch and return it."""
        self.disk = self.disk._replace(epoch=self.disk.epoch + 1)
        return self.disk.epoch

    def last_sequence(self) -> int:
        """Return the sequence of the newest decision."""
        return max((decision.sequence for decision in self.disk.decisions), default=0)

    def find_decisions(self, keys: Iterable[PaymentKey]) -> dict[PaymentKey, Decision]:
        """Return the decision of each of the keys that has one."""
        wanted = set(keys)
        return {
            decision.payment.key: decision for decision in self.disk.decisions if decision.payment.key in wanted
        }

    def write(self, decisions: Collection[Decision], _: Collection[Contradiction], _now_us: int) -> None:
        """Make a turn durable."""
        after = (*self.disk.decisions, *decisions)
        keys = {decision.payment.key for decision in after}
        if len(keys) != len(after) or len({decision.sequence for decision in after}) != len(after):
            raise Refused("a payment is decided once")
        self.disk = self.disk._replace(decisions=after)


class BankDisk(NamedTuple):
    """A bank's durable state. ``accounts`` as (name, currency, posted, held, incoming), by name; holds by key."""

    accounts: tuple[tuple[str, str, int, int, int], ...]
    holds: tuple[Hold, ...] = ()
    journal: tuple[Entry, ...] = ()


class PlainBankStore:
    """What a turn of a bank asks of its store."""

    def __init__(self, disk: BankDisk) -> None:
        self.disk = disk

    def find_account(self, name: str) -> Account | None:
        """Return the account."""
        return next((Account(*row) for row in self.disk.accounts if row[0] == name), None)

    def holds(self) -> list[Hold]:
        """Return all holds."""
        return list(self.disk.holds)

    def find_entries(self, keys: Iterable[PaymentKey]) -> dict[PaymentKey, Entry]:
        """Return the newest epoch's entry for each of the keys that has one."""
        wanted = set(keys)
        found: dict[PaymentKey, Entry] = {}
        for entry in self.disk.journal:
            key = entry.payment_id, entry.payer
            if key in wanted and (key not in found or found[key].epoch < entry.epoch):
                found[key] = entry
        return found

    def write(self, changes: Changes, _now_us: int) -> None:
        """Make a turn durable."""
        holds = {hold.key: hold for hold in self.disk.holds}
        for key in changes.released:
            holds.pop(key, None)
        for hold in changes.holds:
            if holds.setdefault(hold.key, hold) is not hold:
                raise Refused("a payment has one hold")
        journal = (*self.disk.journal, *changes.entries)
        if len({entry[:3] for entry in journal}) != len(journal):
            raise Refused("a transaction ends once")
        accounts = {row[0]: row for row in self.disk.accounts}
        for account in changes.accounts:
            row = account.name, account.currency, account.posted, account.held, account.incoming
            if (account.is_customer and account.available < 0) or min(account.held, account.incoming) < 0:
                raise Refused("an account's sums have limits")
            accounts[account.name] = row
        self.disk = BankDisk(
            tuple(sorted(accounts.values())), tuple(sorted(holds.values())), tuple(Entry(*e) for e in journal)
        )
