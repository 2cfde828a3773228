"""Payments that a client has promised to send: on disk before the first send, until their end is known.

Each item is one of three things, and says which:

    never sent               nothing has left; may be cancelled, and expires after a day
    sent, answer unknown     it may have happened: only the gateway can tell, so it is
                             asked, by the same id, for as long as it takes; a refusal
                             now says nothing of a send that may yet arrive
    final                    committed, declined, refused (the gateway will never take
                             it), expired or cancelled

The order of a user's items is the order of saving; `nodes.client.delivery` keeps it.

Several shells may share one outbox. The database file is locked while it is open, so it
is opened for each operation and closed again; whoever finds it open waits its turn.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from nodes.client.client import PaymentRequest
from nodes.runtime.crash_points import reach
from nodes.runtime.database import DatabaseUnusable, open_database

EXPIRES_AFTER_S = 24 * 3600
_BUSY_WAIT_S = 10.0

UNDER_WAY_S_MAX = 300.0
"""What was sent has arrived by then, or never will: no connection keeps bytes for longer."""

_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE item (
    number INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    payer_account TEXT NOT NULL,
    payee_account TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    memo TEXT NOT NULL,
    state INTEGER NOT NULL,
    reason TEXT NOT NULL,
    saved_at REAL NOT NULL,
    sent_at REAL,
    UNIQUE (user, payment_id)
) STRICT;
CREATE INDEX item_waiting ON item (user, number) WHERE state <= 2;
"""
_UPGRADES = {
    1: "ALTER TABLE item ADD COLUMN sent_at REAL; UPDATE item SET sent_at = unixepoch() WHERE state = 2",
}


class State(IntEnum):
    """How an item stands."""

    NEVER_SENT = 1
    UNKNOWN = 2
    COMMITTED = 3
    DECLINED = 4
    REFUSED = 5
    EXPIRED = 6
    CANCELLED = 7

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it."""
        return self > State.UNKNOWN


class CannotCancel(Exception):
    """The item was sent, or has ended: cancelling it would be a lie."""


class Earlier(NamedTuple):
    """How an item stood before a send; ``sent_at``, in seconds since 1970, is the last send that has no answer."""

    state: State
    sent_at: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """One payment in the outbox. ``reason`` says why, where there is a why; ``saved_at`` in seconds since 1970."""

    user: str
    request: PaymentRequest
    state: State
    reason: str
    saved_at: float


class Outbox:
    """The outbox in one file. All changes are durable when the method returns.

    ``clock`` returns seconds since 1970; it says when items were saved, and which have expired.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def save(self, user: str, request: PaymentRequest) -> Item:
        """Save a payment, before anything of it is sent."""
        item = Item(user, request, State.NEVER_SENT, "", self._clock())
        with self._open() as connection:
            reach("client.outbox.unsaved")
            connection.execute(
                "INSERT INTO item VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    user,
                    request.payment_id,
                    request.payer_account,
                    request.payee_account,
                    request.amount_minor,
                    request.currency,
                    request.memo,
                    int(item.state),
                    item.reason,
                    item.saved_at,
                ),
            )
            reach("client.outbox.saved")
        return item

    def mark_sent(self, item: Item) -> Earlier:
        """Note that a send begins, from when on the item may have happened; return how it stood.

        An item that has ended meanwhile, cancelled by the user, stays as it is: it may not be sent.
        """
        return self._set(item, State.UNKNOWN, "", self._clock())

    def unmark_sent(self, item: Item, earlier: Earlier) -> None:
        """Note that a send was answered, and what was sent before it was not: that is what counts."""
        self._set(item, State.UNKNOWN, "", earlier.sent_at)

    def may_yet_arrive(self, earlier: Earlier) -> bool:
        """Tell whether a send that has no answer may still be on its way to the gateway."""
        return earlier.sent_at is not None and self._clock() - earlier.sent_at < UNDER_WAY_S_MAX

    def settle(self, item: Item, state: State, reason: str) -> None:
        """Note how an item ended."""
        self._set(item, state, reason, None)

    def cancel(self, user: str, payment_id: str) -> Item:
        """Cancel an item that was never sent; raises `CannotCancel` for any other."""
        with self._open() as connection:
            connection.execute(
                "UPDATE item SET state = ?, reason = 'cancelled by the user'"
                " WHERE user = ? AND payment_id = ? AND state = ?",
                (int(State.CANCELLED), user, payment_id, int(State.NEVER_SENT)),
            )
            is_done = connection.changes() == 1
            reach("client.outbox.cancelled")
        item = self.find(user, payment_id)
        if item is None:
            raise CannotCancel(f"there is no payment {payment_id} of {user} in the outbox")
        if not is_done:
            said = "was sent; ask for its outcome" if item.state is State.UNKNOWN else "has ended already"
            raise CannotCancel(f"the payment {payment_id} {said}")
        return item

    def find(self, user: str, payment_id: str) -> Item | None:
        """Return one item of a user."""
        items = self._select("WHERE user = ? AND payment_id = ?", (user, payment_id))
        return items[0] if items else None

    def items(self, user: str, limit: int = 50) -> list[Item]:
        """Return the newest items of a user, whatever their state, oldest first."""
        return self._select("WHERE user = ? ORDER BY number DESC LIMIT ?", (user, limit))[::-1]

    def waiting(self, user: str) -> list[Item]:
        """Return what is not final, in the order of saving."""
        return self._select("WHERE user = ? AND state <= 2 ORDER BY number", (user,))

    def is_expired(self, item: Item) -> bool:
        """Tell whether an item has waited for too long without having been sent."""
        return item.state is State.NEVER_SENT and self._clock() - item.saved_at > EXPIRES_AFTER_S

    def is_overdue(self, item: Item) -> bool:
        """Tell whether an item would have expired, had it not been sent: now only the gateway can tell."""
        return item.state is State.UNKNOWN and self._clock() - item.saved_at > EXPIRES_AFTER_S

    def all_items(self) -> list[Item]:
        """Return every item of every user, in the order of saving."""
        return self._select("ORDER BY number", ())

    def _set(self, item: Item, state: State, reason: str, sent_at: float | None) -> Earlier:
        """Change an item that has not ended; return how it stood. Nobody else has the file open meanwhile."""
        key = item.user, item.request.payment_id
        with self._open() as connection:
            reach("client.outbox.unchanged")
            query = "SELECT state, sent_at FROM item WHERE user = ? AND payment_id = ?"
            earlier: Any = connection.execute(query, key).fetchone()
            connection.execute(
                "UPDATE item SET state = ?, reason = ?, sent_at = ?"
                " WHERE user = ? AND payment_id = ? AND state <= 2",
                (int(state), reason, sent_at, *key),
            )
            reach("client.outbox.changed")
        return Earlier(State(earlier[0]), earlier[1])

    def _select(self, tail: str, bindings: tuple[Any, ...]) -> list[Item]:
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute(f"SELECT * FROM item {tail}", bindings).fetchall()  # noqa: S608 - our own text
        return [_read(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        """Open the file, once nobody else has it open."""
        gives_up = time.monotonic() + _BUSY_WAIT_S
        while True:
            try:
                connection = open_database(self.path, _SCHEMA, _SCHEMA_VERSION, _UPGRADES)
                break
            except DatabaseUnusable as error:
                if not isinstance(error.__cause__, apsw.BusyError) or time.monotonic() > gives_up:
                    raise
                time.sleep(0.01)
        try:
            yield connection
        except apsw.Error as error:
            # It may be saved all the same: the error can come after the commit.
            said = f"the outbox {self.path} fails: {error}; look at what is in it before you pay again"
            raise DatabaseUnusable(said) from error
        finally:
            connection.close()


def _read(row: tuple[Any, ...]) -> Item:
    _, user, payment_id, payer_account, payee_account, amount_minor, currency, memo, *rest = row
    state, reason, saved_at, _ = rest
    request = PaymentRequest(payment_id, payer_account, payee_account, amount_minor, currency, memo)
    return Item(user, request, State(state), reason, saved_at)
