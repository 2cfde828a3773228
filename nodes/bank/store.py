"""A bank's books on disk: one SQLite file, written once a turn.

    account   the sums of each account, kept so that they need not be folded
    hold      what is promised to transactions in doubt; a row lives from vote to decision,
              under a number, so that what was promised together goes by one range of numbers
    journal   how each transaction ended, in order, never changed: the truth the rest folds from
    link, heard   the chain of hashes over the journal (`nodes.runtime.chain_table`)

The database states the rules a second time: a customer's available balance below
zero, or a change to the journal, is refused by SQL whatever the code above thinks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import apsw

from nodes.core.ledger import Account, Changes, Entry, Hold, compare_accounts, paid_in_account
from nodes.core.messages import Outcome, PaymentKey, Reason
from nodes.core.settlement import Clearing
from nodes.runtime.chain_table import CHAIN_SCHEMA, ChainTable
from nodes.runtime.crash_points import reach
from nodes.runtime.database import (
    BooksAltered,
    CommitCount,
    DatabaseUnusable,
    insert_rows,
    open_database,
    select_in,
)

SCHEMA_VERSION = 3
_HOLD_TABLE = """
CREATE TABLE hold (
    number INTEGER PRIMARY KEY,
    payment_id BLOB NOT NULL CHECK (length(payment_id) = 16),
    payer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
"""
SCHEMA = (
    CHAIN_SCHEMA
    + _HOLD_TABLE
    + """
CREATE TABLE bank (
    name TEXT NOT NULL
) STRICT;
CREATE TABLE account (
    name TEXT PRIMARY KEY,
    currency TEXT NOT NULL,
    posted INTEGER NOT NULL,
    held INTEGER NOT NULL CHECK (held >= 0),
    incoming INTEGER NOT NULL CHECK (incoming >= 0),
    CHECK (posted >= held OR name GLOB '@*')
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    payment_id BLOB CHECK (length(payment_id) = 16),
    payer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    outcome INTEGER NOT NULL CHECK (outcome IN (2, 3)),
    reason INTEGER NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    CHECK (outcome = 3 OR amount_minor > 0)
) STRICT;
CREATE UNIQUE INDEX journal_by_transaction ON journal (payment_id, payer, epoch);
CREATE TRIGGER journal_is_append_only_1 BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is written once'); END;
CREATE TRIGGER journal_is_append_only_2 BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is written once'); END;
"""
)

_UPGRADES = {
    2: f"""
ALTER TABLE hold RENAME TO hold_2;
{_HOLD_TABLE}
INSERT INTO hold SELECT NULL, * FROM hold_2 ORDER BY at_us;
DROP TABLE hold_2;
"""  # noqa: S608 - our own text
}

_ENTRY = "payment_id, payer, epoch, outcome, reason, debit_account, credit_account, amount_minor, currency, at_us"

_FOLDED_AT_START = 500_000
"""A journal of up to so many entries is folded whole when the bank starts: at most a quarter of a second."""

_BY_PAYMENT_IDS = "SELECT * FROM journal WHERE payment_id IN"
_ROWS = (
    "SELECT sequence, coalesce(payment_id, x''), payer, epoch, outcome, reason, debit_account, credit_account,"
    " amount_minor, currency, at_us FROM journal WHERE sequence > ? AND sequence <= ? ORDER BY sequence"
)


class CurrencySums(NamedTuple):
    """One currency's sums over the accounts, in minor units."""

    customers: int
    paid_in: int
    held: int
    due_to: dict[str, int]


class BankStore:
    """The one connection to a bank's database: `open` a file, or hand over a connection that has `SCHEMA`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._commits = CommitCount(connection)
        name = connection.execute("SELECT name FROM bank").fetchone()
        self.chain = ChainTable(connection, name[0] if name else "", table="journal", columns=_ENTRY)
        self._newest_id: bytes = self._execute("SELECT max(payment_id) FROM journal").get or b""
        numbered = self._execute("SELECT payment_id, payer, number FROM hold")
        self._hold_numbers: dict[PaymentKey, int] = {(key[0], key[1]): number for *key, number in numbered}
        self._last_hold_number = max(self._hold_numbers.values(), default=0)

    @property
    def commits(self) -> int:
        """How many transactions were made durable since the file was opened."""
        return self._commits.total

    @classmethod
    def open(cls, path: Path, bank: str) -> Self:
        """Open the books of ``bank``, made if they are not there.

        Raises `nodes.runtime.database.DatabaseUnusable`, also if the file keeps another bank's books,
        or books that were changed by others than this program, as far as `find_alterations` shows it.
        """
        connection = open_database(path, SCHEMA, SCHEMA_VERSION, _UPGRADES)
        kept = connection.execute("SELECT name FROM bank").fetchone()
        if kept is None:
            connection.execute("INSERT INTO bank VALUES (?)", (bank,))
        elif kept[0] != bank:
            connection.close()
            raise DatabaseUnusable(
                f"{path} keeps the books of {kept[0]}, not of {bank}: name the right --database"
            )
        store = cls(connection)
        altered = store.find_alterations()
        if altered:
            store.close()
            raise BooksAltered(path, altered)
        return store

    def close(self) -> None:
        """Close the file and give up its lock."""
        self._connection.close()

    # -- written ----------------------------------------------------------------

    def write(self, changes: Changes, now_us: int) -> None:
        """Make a turn durable, in one transaction. An error here must end the process."""
        reach("bank.turn.unwritten")
        self._execute("BEGIN IMMEDIATE")
        if changes.released:
            self._remove_holds(changes.released)
        if changes.holds:
            self._add_holds(changes.holds)
        if changes.entries:
            self._add_entries(changes.entries, now_us)
            self._newest_id = max(self._newest_id, *(entry.payment_id for entry in changes.entries))
        if changes.accounts:
            self._connection.executemany(
                "INSERT INTO account VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE"
                " SET posted = excluded.posted, held = excluded.held, incoming = excluded.incoming",
                sorted((a.name, a.currency, a.posted, a.held, a.incoming) for a in changes.accounts),
            )
        if changes.holds:
            reach("bank.hold.uncommitted")
        if changes.entries:
            reach("bank.entry.uncommitted")
        self._execute("COMMIT")
        reach("bank.turn.committed")

    def open_accounts(self, opening_minor: Mapping[str, int], currency: str, now_us: int) -> int:
        """Open those of the accounts that are not there, each with its opening balance; return how many.

        The money comes from outside: each opening is a journal entry against the paid-in account.
        """
        paid_in = paid_in_account(currency)
        opened = 0
        entries: list[tuple[Any, ...]] = []
        self._execute("BEGIN IMMEDIATE")
        for user, amount_minor in opening_minor.items():
            if self.find_account(user) is not None:
                continue
            opened += 1
            self._add_to_account(user, currency, amount_minor)
            if amount_minor:
                self._add_to_account(paid_in, currency, -amount_minor)
                committed = Outcome.COMMITTED, Reason.NONE
                entries.append((None, user, 0, *committed, paid_in, user, amount_minor, currency, now_us))
        if entries:
            self._add_entries(entries, now_us)
        reach("bank.accounts.uncommitted")
        self._execute("COMMIT")
        reach("bank.accounts.committed")
        return opened

    def _add_holds(self, holds: Sequence[Hold]) -> None:
        numbers = {hold[:2]: number for number, hold in enumerate(holds, self._last_hold_number + 1)}
        if len(numbers) < len(holds) or not numbers.keys().isdisjoint(self._hold_numbers):
            raise apsw.ConstraintError("a payment has one hold")
        rows = [(number, *hold) for number, hold in zip(numbers.values(), holds, strict=True)]
        insert_rows(self._connection, "INSERT INTO hold", rows)
        self._hold_numbers |= numbers
        self._last_hold_number += len(holds)

    def _remove_holds(self, keys: Iterable[PaymentKey]) -> None:
        known = self._hold_numbers
        numbers = sorted(known.pop(key) for key in keys if key in known)
        self._connection.executemany("DELETE FROM hold WHERE number BETWEEN ? AND ?", _find_runs(numbers))

    def _add_entries(self, entries: Sequence[tuple[Any, ...]], now_us: int) -> None:
        insert_rows(self._connection, f"INSERT INTO journal ({_ENTRY})", entries)
        self.chain.append(entries, now_us)

    def _add_to_account(self, name: str, currency: str, amount_minor: int) -> None:
        self._execute(
            "INSERT INTO account VALUES (?, ?, ?, 0, 0)"
            " ON CONFLICT (name) DO UPDATE SET posted = posted + excluded.posted",
            (name, currency, amount_minor),
        )

    # -- read -------------------------------------------------------------------

    def find_account(self, name: str) -> Account | None:
        """Return the account as it is on disk."""
        row = self._execute(
            "SELECT name, currency, posted, held, incoming FROM account WHERE name = ?", (name,)
        ).fetchone()
        return Account(*row) if row else None

    def accounts(self) -> list[Account]:
        """Return all accounts as they are on disk."""
        return [Account(*row) for row in self._execute("SELECT * FROM account")]

    def holds(self) -> list[Hold]:
        """Return all holds, oldest first."""
        return [Hold(*row) for _, *row in self._execute("SELECT * FROM hold ORDER BY at_us")]

    def find_entries(self, keys: Iterable[PaymentKey]) -> dict[PaymentKey, Entry]:
        """Return the newest epoch's journal entry for each of the keys that has one.

        An id above all on record needs no look at them; ids that grow with time mostly are.
        """
        wanted = {key for key in keys if key[0] <= self._newest_id}
        found: dict[PaymentKey, Entry] = {}
        for row in select_in(self._connection, _BY_PAYMENT_IDS, [payment_id for payment_id, _ in wanted]):
            key = row[1], row[2]
            if key in wanted and (key not in found or found[key].epoch < row[3]):
                found[key] = _entry(row)
        return found

    def entries_of(self, payment_id: bytes) -> list[Entry]:
        """Return every journal entry of a payment id, whoever paid."""
        rows = self._execute("SELECT * FROM journal WHERE payment_id = ? ORDER BY payer, epoch", (payment_id,))
        return [_entry(row) for row in rows]

    def count_customers(self) -> int:
        """Return how many customers have an account."""
        return int(self._execute("SELECT count(*) FROM account WHERE name NOT GLOB '@*'").get)

    def clearing(self) -> dict[str, Clearing]:
        """Return the bank's own accounts, by currency. Reads a row a bank."""
        own: dict[str, Clearing] = {}
        query = "SELECT name, currency, posted FROM account WHERE name > '@' AND name < 'A'"
        for name, currency, posted in self._execute(query):
            paid_in, due_to = own.get(currency) or Clearing(0, {})
            if name == paid_in_account(currency):
                own[currency] = Clearing(paid_in - posted, due_to)
            else:
                own[currency] = Clearing(paid_in, {**due_to, name[1:].partition("/")[0]: posted})
        return own

    def net_due(self, currency: str) -> int:
        """Return what this bank owes all others together; below 0, what it is owed. Reads a row a bank."""
        own = self.clearing().get(currency)
        return sum(own.due_to.values()) if own else 0

    def sum_accounts(self) -> dict[str, CurrencySums]:
        """Add up the accounts, by currency."""
        sums: dict[str, CurrencySums] = {}
        for name, currency, posted, held in self._execute("SELECT name, currency, posted, held FROM account"):
            customers, paid_in, all_held, due_to = sums.get(currency) or CurrencySums(0, 0, 0, {})
            if not name.startswith("@"):
                customers, all_held = customers + posted, all_held + held
            elif name == paid_in_account(currency):
                paid_in -= posted
            else:
                due_to[name[1:].partition("/")[0]] = posted
            sums[currency] = CurrencySums(customers, paid_in, all_held, due_to)
        return sums

    def read_rows(self, after: int, until: int) -> list[tuple[Any, ...]]:
        """Return the rows of the journal with sequences in (after, until]; an id is empty where there is none."""
        return self._execute(_ROWS, (after, until)).fetchall()

    def find_alterations(self) -> list[str]:
        """Say what others than this program have changed, as far as it can be seen in a short time.

        Looked at are all accounts and holds, and the newest of the journal with its chain; all
        of the journal while it is no longer than `_FOLDED_AT_START` entries.
        """
        is_short = self.chain.head.last_sequence <= _FOLDED_AT_START
        folded = self._fold_journal() if is_short else None
        return [*self.chain.find_breaks(), *compare_accounts(self.accounts(), self.holds(), folded)]

    def find_faults(self) -> list[str]:
        """Fold the journal and compare: one line for each account that differs. Reads everything."""
        return list(compare_accounts(self.accounts(), self.holds(), self._fold_journal()))

    def _fold_journal(self) -> dict[str, int]:
        """Return what each account's entries sum to."""
        folded: dict[str, int] = {}
        for side, sign in (("debit_account", -1), ("credit_account", 1)):
            query = f"SELECT {side}, sum(amount_minor) FROM journal WHERE outcome = 2 GROUP BY {side}"  # noqa: S608 - our own text
            for name, amount_minor in self._execute(query):
                folded[name] = folded.get(name, 0) + sign * amount_minor
        return folded


def _find_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of numbers without a gap; they ascend."""
    first = 0
    for end, number in enumerate(numbers, 1):
        if end == len(numbers) or numbers[end] != number + 1:
            yield numbers[first], number
            first = end


def _entry(row: tuple[Any, ...]) -> Entry:
    _, payment_id, payer, epoch, outcome, reason, *moved = row
    return Entry(payment_id, payer, epoch, Outcome(outcome), Reason(reason), *moved)
