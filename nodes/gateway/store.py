"""The gateway's state on disk: one SQLite file, written once a turn.

epoch          counts the starts of the gateway; raised before it serves
decision       how each payment ended, in order, written once: a second decision
               on a payment is refused by the unique index, a change by a trigger
tally          how many of each outcome, so that nobody counts rows
bank           where each bank that has registered listens
revoked_token  logins that were ended before they expired
contradiction  records of gateway and banks that cannot both be true, each once
concern        which decisions concern whom (`nodes.gateway.history_index`)
resolution     what operators settled by hand, with who and why, written once; covered by link ``link``
recovery       how these records were made anew from the banks' books, written once; in link ``link``
link, heard    the chain of hashes over decisions, resolutions and recoveries (`nodes.runtime.chain_table`)
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import apsw

from nodes.core.messages import Contradiction, Decision, Outcome, Payment, PaymentKey, Reason
from nodes.core.rebuilding import Rebuilt
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution
from nodes.gateway.history_index import HISTORY_SCHEMA, HistoryIndex
from nodes.runtime.chain_table import CHAIN_SCHEMA, ChainTable
from nodes.runtime.crash_points import reach
from nodes.runtime.database import BooksAltered, CommitCount, insert_rows, open_database, select_in

SCHEMA_VERSION = 7
SCHEMA = (
    CHAIN_SCHEMA
    + HISTORY_SCHEMA
    + """
CREATE TABLE epoch (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO epoch VALUES (0);
CREATE TABLE decision (
    sequence INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    payment_id BLOB NOT NULL CHECK (length(payment_id) = 16),
    payer TEXT NOT NULL,
    payer_bank TEXT NOT NULL,
    payee TEXT NOT NULL,
    payee_bank TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0 OR outcome = 3),
    currency TEXT NOT NULL,
    memo TEXT NOT NULL,
    outcome INTEGER NOT NULL CHECK (outcome IN (2, 3)),
    reason INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    decided_at_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX decision_by_payment ON decision (payment_id, payer);
CREATE TRIGGER decision_is_written_once_1 BEFORE UPDATE ON decision
BEGIN SELECT RAISE(ABORT, 'a decision is written once'); END;
CREATE TRIGGER decision_is_written_once_2 BEFORE DELETE ON decision
BEGIN SELECT RAISE(ABORT, 'a decision is written once'); END;
CREATE TABLE tally (
    committed INTEGER NOT NULL,
    declined INTEGER NOT NULL
) STRICT;
INSERT INTO tally VALUES (0, 0);
CREATE TABLE bank (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked_token (
    token_id TEXT PRIMARY KEY,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE contradiction (
    sequence INTEGER PRIMARY KEY,
    payment_id BLOB NOT NULL,
    payer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    said TEXT NOT NULL,
    recorded TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    UNIQUE (payment_id, payer, epoch, said)
) STRICT;
CREATE TABLE resolution (
    link INTEGER NOT NULL,
    payment_id BLOB NOT NULL CHECK (length(payment_id) = 16),
    payer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    is_commit INTEGER NOT NULL CHECK (is_commit IN (0, 1)),
    who TEXT NOT NULL CHECK (who <> ''),
    why TEXT NOT NULL CHECK (why <> ''),
    at_us INTEGER NOT NULL,
    PRIMARY KEY (payment_id, payer, epoch)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER resolution_is_written_once_1 BEFORE UPDATE ON resolution
BEGIN SELECT RAISE(ABORT, 'a resolution is written once'); END;
CREATE TRIGGER resolution_is_written_once_2 BEFORE DELETE ON resolution
BEGIN SELECT RAISE(ABORT, 'a resolution is written once'); END;
CREATE TABLE recovery (
    link INTEGER PRIMARY KEY,
    follows INTEGER NOT NULL,
    who TEXT NOT NULL CHECK (who <> ''),
    why TEXT NOT NULL CHECK (why <> ''),
    at_us INTEGER NOT NULL,
    heads TEXT NOT NULL
) STRICT;
CREATE TRIGGER recovery_is_written_once_1 BEFORE UPDATE ON recovery
BEGIN SELECT RAISE(ABORT, 'a recovery is written once'); END;
CREATE TRIGGER recovery_is_written_once_2 BEFORE DELETE ON recovery
BEGIN SELECT RAISE(ABORT, 'a recovery is written once'); END;
"""
)

_DECISIONS_AT_ONCE = 10_000
_BY_PAYMENT_IDS = "SELECT * FROM decision WHERE payment_id IN"
_ROWS = "SELECT * FROM decision WHERE sequence > ? AND sequence <= ? ORDER BY sequence"


class GatewayStore:
    """The one connection to the gateway's database: `open` a file, or hand over a connection that has `SCHEMA`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._commits = CommitCount(connection)
        self.chain = ChainTable(connection, "gateway", table="decision", columns="*", acts=self._acts)
        self._index = HistoryIndex(connection)
        self._newest_id: bytes = self._execute("SELECT max(payment_id) FROM decision").get or b""

    @property
    def commits(self) -> int:
        """How many transactions were made durable since the file was opened."""
        return self._commits.total

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, made if it is not there; raises `nodes.runtime.database.DatabaseUnusable`.

        What was changed by others than this program is refused, as far as a quick look shows it.
        """
        store = cls(open_database(path, SCHEMA, SCHEMA_VERSION))
        altered = store.find_alterations()
        if altered:
            store.close()
            raise BooksAltered(path, altered)
        return store

    def close(self) -> None:
        """Close the file and give up its lock."""
        self._connection.close()

    # -- written ----------------------------------------------------------------

    def begin_epoch(self) -> int:
        """Raise the epoch, durably, and return it. Once a start, before serving."""
        return self._number("UPDATE epoch SET number = number + 1 RETURNING number")

    def write(
        self, decisions: Collection[Decision], contradictions: Collection[Contradiction], now_us: int
    ) -> None:
        """Make a turn durable, in one transaction. An error here must end the process."""
        committed = sum(decision.outcome is Outcome.COMMITTED for decision in decisions)
        has_declined = committed < len(decisions)
        reach("gateway.decline.unwritten" if has_declined else "gateway.decision.unwritten")
        self._execute("BEGIN IMMEDIATE")
        if decisions:
            rows = [(sequence, epoch, *payment, *ended) for sequence, epoch, payment, *ended in decisions]
            insert_rows(self._connection, "INSERT INTO decision", rows)
            self.chain.append(rows, now_us)
            self._index.add((d.sequence, d.payment.payer, d.payment.payee, d.outcome) for d in decisions)
            self._newest_id = max(self._newest_id, *(decision.payment.payment_id for decision in decisions))
            self._execute(
                "UPDATE tally SET committed = committed + ?, declined = declined + ?",
                (committed, len(decisions) - committed),
            )
        if contradictions:
            self._connection.executemany(
                "INSERT OR IGNORE INTO contradiction VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                [(*contradiction, now_us) for contradiction in contradictions],
            )
            reach("gateway.contradiction.uncommitted")
        reach("gateway.decision.uncommitted")
        self._execute("COMMIT")
        reach("gateway.decline.committed" if has_declined else "gateway.decision.committed")

    def save_resolution(self, resolution: Resolution) -> None:
        """Remember, durably and for ever, how an operator settled a transaction. An error must end the process."""
        self._execute("BEGIN IMMEDIATE")
        row = self.chain.head.number + 1, *resolution
        self._execute("INSERT INTO resolution VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.chain.append([], resolution.at_us, acts=[resolution.act])
        reach("gateway.resolution.uncommitted")
        self._execute("COMMIT")
        reach("gateway.resolution.committed")

    def recover(self, recovery: Recovery, rebuilt: Rebuilt) -> None:
        """Put on record what the banks' books tell; for a file that no gateway serves from yet."""
        self._execute("BEGIN IMMEDIATE")
        self._execute("INSERT INTO recovery VALUES (?, ?, ?, ?, ?, ?)", recovery)
        self._execute("UPDATE epoch SET number = max(number, ?)", (rebuilt.epoch,))
        self.chain.jump(recovery.link)
        self.chain.append([], recovery.at_us, acts=[recovery.act])
        self._execute("COMMIT")
        for start in range(0, len(rebuilt.decisions), _DECISIONS_AT_ONCE):
            self.write(rebuilt.decisions[start : start + _DECISIONS_AT_ONCE], (), recovery.at_us)
        self.write((), rebuilt.unknown, recovery.at_us)

    def save_bank(self, name: str, address: str) -> None:
        """Remember where a bank listens."""
        reach("gateway.register.unsaved")
        self._execute(
            "INSERT INTO bank VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET address = excluded.address",
            (name, address),
        )

    def revoke_token(self, token_id: str, expires_at: float) -> None:
        """Remember that a login is over; ``expires_at`` in seconds since 1970."""
        reach("gateway.logout.unsaved")
        self._execute("INSERT OR IGNORE INTO revoked_token VALUES (?, ?)", (token_id, expires_at))

    def copy_to(self, path: Path) -> None:
        """Copy the file, as it is on disk, to ``path``, which must not be there."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = apsw.Connection(str(path))
        with copy.backup("main", self._connection, "main") as backup:
            backup.step()
        copy.close()

    # -- read -------------------------------------------------------------------

    def epoch(self) -> int:
        """Return the newest epoch that has begun."""
        return self._number("SELECT number FROM epoch")

    def decided_keys(self) -> set[PaymentKey]:
        """Return which payments are decided. Reads everything."""
        rows: Any = self._execute("SELECT payment_id, payer FROM decision")
        return set(rows)

    def last_sequence(self) -> int:
        """Return the sequence of the newest decision, 0 if there is none."""
        return self._number("SELECT coalesce(max(sequence), 0) FROM decision")

    def find_alterations(self) -> list[str]:
        """Say what others than this program have changed, as far as a quick look at the newest shows it."""
        altered = self.chain.find_breaks()
        decided = sum(self.tally())
        if decided != self.last_sequence():
            altered.append(f"{decided} decisions were counted, the newest has the number {self.last_sequence()}")
        epoch = self._number("SELECT coalesce((SELECT epoch FROM decision ORDER BY sequence DESC LIMIT 1), 0)")
        if epoch > self._number("SELECT number FROM epoch"):
            altered.append(f"the newest decision is of epoch {epoch}, which has not begun")
        acts = "SELECT link FROM resolution UNION ALL SELECT link FROM recovery"
        planted = self._number(f"SELECT count(*) FROM ({acts}) WHERE link > {self.chain.head.number}")  # noqa: S608
        if planted:
            altered.append(f"{planted} acts of operators are on record that no link of the chain covers")
        return altered

    def tally(self) -> tuple[int, int]:
        """Return how many payments are (committed, declined)."""
        return self._number("SELECT committed FROM tally"), self._number("SELECT declined FROM tally")

    def banks(self) -> dict[str, str]:
        """Return the address of each bank that has registered."""
        return dict(self._execute("SELECT name, address FROM bank ORDER BY name"))

    def resolutions(self) -> list[tuple[int, Resolution]]:
        """Return all that operators have settled by hand, each with the number of the link that covers it."""
        rows: Any = self._execute("SELECT * FROM resolution ORDER BY link")
        return [(link, Resolution(*row)._replace(commit=bool(row[3]))) for link, *row in rows]

    def recoveries(self) -> list[Recovery]:
        """Return how these records were made anew, oldest first."""
        rows: Any = self._execute("SELECT * FROM recovery ORDER BY link")
        return [Recovery(*row) for row in rows]

    def _acts(self, after: int, until: int) -> dict[int, tuple[Sequence[str], int | None]]:
        recoveries = {recovery.link: recovery for recovery in self.recoveries()}
        acts: dict[int, list[str]] = {link: [recovery.act] for link, recovery in recoveries.items()}
        for link, resolution in self.resolutions():
            acts.setdefault(link, []).append(resolution.act)
        follows = {link: recovery.follows for link, recovery in recoveries.items()}
        return {link: (lines, follows.get(link)) for link, lines in acts.items() if after < link <= until}

    def contradictions(self) -> list[Contradiction]:
        """Return all contradictions on record."""
        rows: Any = self._execute("SELECT payment_id, payer, epoch, said, recorded FROM contradiction")
        return [Contradiction(*row) for row in rows]

    def read_rows(self, after: int, until: int) -> list[tuple[Any, ...]]:
        """Return the rows of decisions with sequences in (after, until]."""
        return self._execute(_ROWS, (after, until)).fetchall()

    def revoked_tokens(self, now: float) -> list[tuple[str, float]]:
        """Forget revoked tokens that have expired by now; return the others."""
        self._execute("DELETE FROM revoked_token WHERE expires_at <= ?", (now,))
        rows: list[Any] = self._execute("SELECT token_id, expires_at FROM revoked_token").fetchall()
        return rows

    def find_decisions(self, keys: Iterable[PaymentKey]) -> dict[PaymentKey, Decision]:
        """Return the decision of each of the keys that has one.

        An id above all on record needs no look at them; ids that grow with time mostly are.
        """
        wanted = {key for key in keys if key[0] <= self._newest_id}
        found: dict[PaymentKey, Decision] = {}
        for row in select_in(self._connection, _BY_PAYMENT_IDS, [payment_id for payment_id, _ in wanted]):
            key = row[2], row[3]
            if key in wanted:
                found[key] = _decision(row)
        return found

    def decisions_of(self, payment_id: bytes) -> list[Decision]:
        """Return the decisions under a payment id, one for each user who used it."""
        rows = self._execute("SELECT * FROM decision WHERE payment_id = ?", (payment_id,))
        return [_decision(row) for row in rows]

    def decisions_since(self, sequence: int) -> Iterator[Decision]:
        """Yield the decisions after ``sequence``, oldest first."""
        return map(_decision, self._execute(_ROWS, (sequence, 2**63 - 1)))

    def history(self, user: str, before: int, limit: int) -> list[Decision]:
        """Return up to ``limit`` decisions that concern ``user``, with sequences below ``before``, newest first.

        Those are the user's own payments, whatever their outcome, and what others
        paid in; another's declined attempt is not theirs to see.
        """
        query = "SELECT * FROM decision WHERE sequence = ?"
        found = (
            self._execute(query, (sequence,)).fetchone() for sequence in self._index.find(user, before, limit)
        )
        return [_decision(row) for row in found if row]

    def _number(self, query: str) -> int:
        [(number,)] = self._execute(query).fetchall()
        assert isinstance(number, int)
        return number


def _decision(row: tuple[Any, ...]) -> Decision:
    sequence, epoch, *payment, outcome, reason, created_at_us, decided_at_us = row
    return Decision(
        sequence, epoch, Payment(*payment), Outcome(outcome), Reason(reason), created_at_us, decided_at_us
    )
