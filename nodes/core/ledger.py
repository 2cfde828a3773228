"""A bank's books: accounts, holds on them, and the journal that they fold from.

Double entry: a journal entry debits one account and credits another by the same
amount, so all accounts of a bank sum to zero, always. Besides its customers' accounts
(``alice``) a bank keeps one clearing account for each other bank and currency
(``@ICICI/INR``: what it owes that bank; below zero, what it is owed), and one for what
was paid in from outside (``@paid-in/INR``). Across all banks the clearing accounts sum
to zero once nothing is under way; they are what settlement pays out.

A balance is credits minus debits. A *hold* promises an amount to a transaction: it is
neither here nor there until the decision. Two sums on the account keep the promises:

    available = posted - held            a customer's is never below zero
    ceiling   = posted + incoming        never above `BALANCE_MAX`, in size

so that posting what was held cannot fail. Holds are sums, not locks: any number of
transactions may hold money of one account, and can only fail on funds.

Source: O'Neil 1986 (escrow); TigerBeetle, two-phase transfers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from nodes.core.messages import Outcome, PaymentKey, Reason
from nodes.core.money import AMOUNT_MAX

BALANCE_MAX = AMOUNT_MAX


class Account:
    """One account's sums in minor units. ``is_customer``: it is a user's, and may not go below zero."""

    __slots__ = ("currency", "held", "incoming", "is_customer", "name", "posted")

    def __init__(self, name: str, currency: str, posted: int = 0, held: int = 0, incoming: int = 0) -> None:
        self.name = name
        self.currency = currency
        self.posted = posted
        self.held = held
        self.incoming = incoming
        self.is_customer = not name.startswith("@")

    @property
    def available(self) -> int:
        """What can be paid with."""
        return self.posted - self.held


class Hold(NamedTuple):
    """An amount promised by one account to another until the transaction is decided."""

    payment_id: bytes
    payer: str
    epoch: int
    debit_account: str
    credit_account: str
    amount_minor: int
    currency: str
    at_us: int

    @property
    def key(self) -> PaymentKey:
        """The payment that it belongs to."""
        return self.payment_id, self.payer


class Entry(NamedTuple):
    """How a transaction ended at this bank; written once.

    A committed one is a journal entry in the sense of double entry; one that is
    declined moved nothing, and keeps the ``reason`` if it was this bank that refused.
    """

    payment_id: bytes
    payer: str
    epoch: int
    outcome: Outcome
    reason: Reason
    debit_account: str
    credit_account: str
    amount_minor: int
    currency: str
    at_us: int


class Changes(NamedTuple):
    """What a turn did to the books, to be written in one transaction."""

    accounts: list[Account]
    holds: list[Hold]
    released: list[PaymentKey]
    entries: list[Entry]


class Ledger:
    """The books of one bank, as far as they are in memory: all holds, some accounts.

    Accounts that a turn needs and that are not here are fetched through
    ``find_account``, which returns what the disk holds, or None.
    """

    _CACHED_ACCOUNTS_MAX = 100_000

    def __init__(self, find_account: Callable[[str], Account | None], holds: Iterable[Hold] = ()) -> None:
        self.holds: dict[PaymentKey, Hold] = {hold.key: hold for hold in holds}
        self._find_account = find_account
        self._accounts: dict[str, Account] = {}
        self._changed: dict[str, Account] = {}
        self._held: dict[PaymentKey, Hold] = {}
        self._released: list[PaymentKey] = []
        self._entries: list[Entry] = []

    def account(self, name: str) -> Account | None:
        """Return the account, or None if there is none of this name."""
        account = self._accounts.get(name) or self._changed.get(name)
        if account is None:
            account = self._find_account(name)
            if account is not None:
                self._accounts[name] = account
        return account

    def own_account(self, name: str, currency: str) -> Account:
        """Return the bank's own account; an empty one if there is none, which the first promise opens."""
        return self.account(name) or Account(name, currency)

    def promise(self, hold: Hold, debit: Account, credit: Account) -> None:
        """Set an amount aside; the caller has checked that it is there."""
        key = hold.key
        debit.held += hold.amount_minor
        credit.incoming += hold.amount_minor
        self._changed[debit.name] = debit
        self._changed[credit.name] = credit
        self.holds[key] = self._held[key] = hold

    def release(self, hold: Hold) -> tuple[Account, Account]:
        """Take a promise back; return the two accounts (debit, credit)."""
        key = hold.key
        debit = self._held_account(hold.debit_account)
        credit = self._held_account(hold.credit_account)
        debit.held -= hold.amount_minor
        credit.incoming -= hold.amount_minor
        self._changed[debit.name] = debit
        self._changed[credit.name] = credit
        del self.holds[key]
        if self._held.pop(key, None) is None:
            self._released.append(key)
        return debit, credit

    def post(self, hold: Hold) -> None:
        """Turn a promise into an entry's amounts."""
        debit, credit = self.release(hold)
        debit.posted -= hold.amount_minor
        credit.posted += hold.amount_minor

    def record(self, entry: Entry) -> None:
        """Add to the journal."""
        self._entries.append(entry)

    def take_changes(self) -> Changes:
        """End the turn: what must be written now, before anything that rests on it is said."""
        changes = Changes(list(self._changed.values()), list(self._held.values()), self._released, self._entries)
        self._accounts |= self._changed
        self._changed, self._held, self._released, self._entries = {}, {}, [], []
        if len(self._accounts) > self._CACHED_ACCOUNTS_MAX:
            self._accounts = {}
        return changes

    def _held_account(self, name: str) -> Account:
        account = self._accounts.get(name) or self.account(name)
        assert account is not None, f"a hold names the account {name}, which is gone"
        return account


@lru_cache(maxsize=4096)
def clearing_account(bank: str, currency: str) -> str:
    """Name the account that says what is owed to ``bank``."""
    return f"@{bank}/{currency}"


def find_other_bank(account: str) -> str:
    """Return the bank that a clearing account is for; empty for any other account."""
    return account[1:].partition("/")[0] if account.startswith("@") and not account.startswith("@paid-in/") else ""


def paid_in_account(currency: str) -> str:
    """Name the account that what comes from outside is debited to."""
    return f"@paid-in/{currency}"


def compare_accounts(
    accounts: Iterable[Account], holds: Iterable[Hold], folded: Mapping[str, int] | None
) -> Iterator[str]:
    """Compare a bank's accounts with its holds, with each other, and with what its journal folds to.

    Yields a line for each that differs. ``folded`` is None to leave the journal out.
    """
    promised = _fold_holds(holds)
    missing = {*promised, *(folded or ())}
    sums: dict[str, int] = {}
    for account in accounts:
        name = account.name
        missing.discard(name)
        sums[account.currency] = sums.get(account.currency, 0) + account.posted
        found = account.posted, account.held, account.incoming
        wanted = account.posted if folded is None else folded.get(name, 0), *promised.get(name, (0, 0))
        if found != wanted:
            yield (
                f"account {name} has posted, held, incoming {found[0]}, {found[1]}, {found[2]};"
                f" journal and holds give {wanted[0]}, {wanted[1]}, {wanted[2]}"
            )
    for name in sorted(missing):
        yield f"account {name} is gone; journal or holds name it"
    for currency, posted in sums.items():
        if posted:
            yield f"the accounts in {currency} sum to {posted}, not to 0"


def _fold_holds(holds: Iterable[Hold]) -> dict[str, tuple[int, int]]:
    """Return what each account has promised, and was promised: (held, incoming)."""
    promised: dict[str, tuple[int, int]] = {}
    for hold in holds:
        held, incoming = promised.get(hold.debit_account, (0, 0))
        promised[hold.debit_account] = held + hold.amount_minor, incoming
        held, incoming = promised.get(hold.credit_account, (0, 0))
        promised[hold.credit_account] = held, incoming + hold.amount_minor
    return promised
