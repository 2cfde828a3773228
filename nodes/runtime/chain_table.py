"""The chain of hashes (`nodes.core.chain`) in a node's database, extended in the transaction of each turn.

link    one row for each turn that added records: the hash over all up to it
heard   what other nodes said were their heads, each with the link that covers it
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import apsw

from nodes.core.chain import Found, Head, Heard, Record, begin_chain, extend_chain, find_break

CHAIN_SCHEMA = """
CREATE TABLE link (
    number INTEGER PRIMARY KEY,
    last_sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE heard (
    node TEXT NOT NULL,
    link INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (node, link)
) STRICT, WITHOUT ROWID;
CREATE INDEX heard_by_link ON heard (link);
CREATE TRIGGER link_is_written_once_1 BEFORE UPDATE ON link
BEGIN SELECT RAISE(ABORT, 'a link is written once'); END;
CREATE TRIGGER link_is_written_once_2 BEFORE DELETE ON link
BEGIN SELECT RAISE(ABORT, 'a link is written once'); END;
CREATE TRIGGER heard_is_written_once_1 BEFORE UPDATE ON heard
BEGIN SELECT RAISE(ABORT, 'what was heard is written once'); END;
CREATE TRIGGER heard_is_written_once_2 BEFORE DELETE ON heard
BEGIN SELECT RAISE(ABORT, 'what was heard is written once'); END;
"""

_HEARD_EVERY_US = 5_000_000
"""How often a node's head is put on record at most: a row each time."""
_TAIL_RECORDS = 20_000
_TAIL_LINKS = 2_000
"""What is looked at when a node starts: some 50 ms of work. The audit looks at everything."""


Acts = Callable[[int, int], dict[int, tuple[Sequence[str], int | None]]]
"""Returns, for links with numbers in (after, until], what operators did by hand that they cover, and which
link each of these follows, if not the one before."""


class ChainTable:
    """The chain of one node. ``table`` is what is chained, by its ``columns``, in order; ``acts`` what else is."""

    def __init__(
        self, connection: apsw.Connection, node: str, *, table: str, columns: str, acts: Acts | None = None
    ) -> None:
        self._execute = connection.execute
        self._table = table
        self._range = f"SELECT {columns} FROM {table} WHERE sequence > ? AND sequence <= ? ORDER BY sequence"  # noqa: S608 - our own text
        self._node = node
        self._acts: Acts = acts or (lambda _, __: {})
        self._told: dict[str, Heard] = {}
        self._noted_at_us: dict[str, int] = {}
        self.head = self.head_at(None) or begin_chain(node)

    # -- written ----------------------------------------------------------------

    def hear(self, node: str, head: Head) -> None:
        """Take what another node says of its chain, to be put on record with some later turn."""
        self._told[node] = Heard(node, head.number, head.hash)

    def jump(self, number: int) -> None:
        """Give the next link this number: those between are given up, as an act in that link must say."""
        self.head = self.head._replace(number=number - 1)

    def append(self, records: Sequence[Record], now_us: int, acts: Sequence[str] = ()) -> None:
        """Add the link of a turn, or of what an operator did; within its transaction, after its records."""
        heard = self._take_due(now_us)
        head = self.head = extend_chain(self.head, records, heard, acts)
        self._execute("INSERT INTO link VALUES (?, ?, ?)", head)
        for node, number, hash_ in heard:
            self._execute("INSERT INTO heard VALUES (?, ?, ?, ?)", (node, head.number, number, hash_))

    def _take_due(self, now_us: int) -> list[Heard]:
        """Return what was heard and is to be put on record now, by node."""
        if not self._told:
            return []
        due = sorted(node for node in self._told if self._is_due(node, now_us))
        for node in due:
            self._noted_at_us[node] = now_us
        return [self._told.pop(node) for node in due]

    def _is_due(self, node: str, now_us: int) -> bool:
        noted_at_us = self._noted_at_us.get(node)
        return noted_at_us is None or not 0 <= now_us - noted_at_us < _HEARD_EVERY_US

    # -- read -------------------------------------------------------------------

    def head_at(self, number: int | None) -> Head | None:
        """Return a link, None for the newest; None if there is no such link."""
        if number == 0:
            return begin_chain(self._node)
        which = "ORDER BY number DESC LIMIT 1" if number is None else "WHERE number = ?"
        bindings = () if number is None else (number,)
        row: Any = self._execute(f"SELECT * FROM link {which}", bindings).fetchone()  # noqa: S608 - our own text
        return Head(*row) if row else None

    def last_heard(self) -> list[Heard]:
        """Return the newest head on record of each node that told one."""
        rows: Any = self._execute("SELECT node, number, hash, max(link) FROM heard GROUP BY node ORDER BY node")
        return [Heard(*row[:3]) for row in rows]

    def links(self, after: int, until: int) -> Iterator[Head]:
        """Yield the links with numbers in (after, until]."""
        query = "SELECT * FROM link WHERE number > ? AND number <= ? ORDER BY number"
        rows: Any = self._execute(query, (after, until))
        return (Head(*row) for row in rows)

    def heard_with(self, after: int, until: int) -> list[tuple[int, Heard]]:
        """Return what was heard with the links with numbers in (after, until]."""
        query = "SELECT link, node, number, hash FROM heard WHERE link > ? AND link <= ? ORDER BY link, node"
        rows: Any = self._execute(query, (after, until))
        return [(link, Heard(*row)) for link, *row in rows]

    def find_breaks(self, *, whole: bool = False) -> list[str]:
        """Make the hashes anew and return what does not fit: of the newest links, or of all."""
        start = begin_chain(self._node) if whole else self._tail_start()
        heard: dict[int, list[Heard]] = {}
        for link_number, told in self.heard_with(start.number, self.head.number):
            heard.setdefault(link_number, []).append(told)
        acts = self._acts(start.number, self.head.number)
        breaks = []
        for before, link in pairwise([start, *self.links(start.number, self.head.number)]):
            records = self._read(before.last_sequence, link.last_sequence)
            covered = heard.get(link.number, ()), *acts.get(link.number, ((), None))
            breaks.append(find_break(before, link, Found(zip(*records, strict=True), len(records), *covered)))
        breaks = [said for said in breaks if said]
        newest: Any = self._execute(f"SELECT coalesce(max(sequence), 0) FROM {self._table}").get  # noqa: S608
        if newest > self.head.last_sequence:
            breaks.append(f"records {self.head.last_sequence + 1} to {newest} were never chained")
        return breaks

    def _tail_start(self) -> Head:
        """Return the link before those that are looked at when a node starts."""
        row: Any = self._execute(
            "SELECT * FROM link WHERE last_sequence <= ? OR number <= ? ORDER BY number DESC LIMIT 1",
            (self.head.last_sequence - _TAIL_RECORDS, self.head.number - _TAIL_LINKS),
        ).fetchone()
        return Head(*row) if row else begin_chain(self._node)

    def _read(self, after: int, until: int) -> list[Record]:
        return self._execute(self._range, (after, until)).fetchall()
