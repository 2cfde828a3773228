"""Which decisions concern whom: what history reads, kept so that it costs a payment next to nothing.

An index entry for each party, made with each payment, would touch a page of the disk
for each of the turn's users: with many users several times the cost of the payment
itself. So the newest entries are kept in memory, by user, and go to disk in the order
of the users when many have gathered, a few with each turn: then one page takes all
that a user has got since the last time.

What is not on disk yet is read again from the decisions when the gateway starts; how
far the disk goes is on record, in the same transactions.

Source: O'Neil et al., The Log-Structured Merge-Tree (1996), with one level.
"""

from collections.abc import Iterable, Iterator

import apsw

from nodes.core.messages import Outcome
from nodes.runtime.database import insert_rows

HISTORY_SCHEMA = """
CREATE TABLE concern (
    user TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (user, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE concern_until (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO concern_until VALUES (0);
"""

_MERGED_FROM = 50_000
"""Entries in memory from which on they go to disk; read again at a start in some 50 ms."""
_SLICE_MIN = 256

_Parties = tuple[int, str, str, int]
"""(sequence, payer, payee, outcome) of a decision."""


class HistoryIndex:
    """The index over the decisions of one database. `add` within the transaction that writes them."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._newest: dict[str, list[int]] = {}
        self._newest_count = self._last_sequence = 0
        self._merging: dict[str, list[int]] = {}
        self._merging_until = 0
        until = connection.execute("SELECT sequence FROM concern_until LIMIT 1").get
        query = "SELECT sequence, payer, payee, outcome FROM decision WHERE sequence > ? ORDER BY sequence"
        self._note(connection.execute(query, (until,)))

    def add(self, decided: Iterable[_Parties]) -> None:
        """Take a turn's decisions, in order, and let a slice of what has gathered go to disk."""
        before = self._newest_count
        self._note(decided)
        if not self._merging and self._newest_count >= _MERGED_FROM:
            # Last first, since a dict gives its last item away at no cost.
            self._merging = dict(sorted(self._newest.items(), reverse=True))
            self._merging_until = self._last_sequence
            self._newest, self._newest_count = {}, 0
        if self._merging:
            # Twice what comes: so this ends before as much has gathered again.
            self._merge(max(_SLICE_MIN, 2 * (self._newest_count - before)))

    def find(self, user: str, before: int, limit: int) -> list[int]:
        """Return up to ``limit`` sequences below ``before`` of decisions that concern ``user``, newest first."""
        query = "SELECT sequence FROM concern WHERE user = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?"
        found = {sequence for (sequence,) in self._connection.execute(query, (user, before, limit))}
        for gathered in (self._merging, self._newest):
            found.update(sequence for sequence in gathered.get(user, ()) if sequence < before)
        return sorted(found, reverse=True)[:limit]

    def _note(self, decided: Iterable[_Parties]) -> None:
        newest = self._newest
        for sequence, payer, payee, outcome in decided:
            newest.setdefault(payer, []).append(sequence)
            self._newest_count += 1
            # What others paid in concerns the payee, and only if it came.
            if outcome == Outcome.COMMITTED and payee != payer:
                newest.setdefault(payee, []).append(sequence)
                self._newest_count += 1
            self._last_sequence = sequence

    def _merge(self, wanted: int) -> None:
        """Write ``wanted`` entries or a few more, whole users; some may be there from an earlier try."""
        insert_rows(self._connection, "INSERT OR IGNORE INTO concern", list(self._take_slice(wanted)))
        if not self._merging:
            self._connection.execute("UPDATE concern_until SET sequence = ?", (self._merging_until,))

    def _take_slice(self, wanted: int) -> Iterator[tuple[str, int]]:
        taken = 0
        while self._merging and taken < wanted:
            user, sequences = self._merging.popitem()
            taken += len(sequences)
            for sequence in sequences:
                yield user, sequence
