"""What is recorded: real stores under real turns. A subject opens as its program does, and takes steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Protocol

import apsw

from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.client.client import PaymentRequest
from nodes.client.outbox import CannotCancel, Item, Outbox, State
from nodes.core.coordinator import Coordinator
from nodes.core.ledger import Ledger
from nodes.core.messages import Decide, Payment, Prepare, Reason, Vote, VoteKind
from nodes.core.participant import Participant
from nodes.gateway import turn as gateway_turn
from nodes.gateway.store import GatewayStore

USERS = ("alice", "bob", "carol")
_CHECKPOINT_PAGES = 20


class Subject(Protocol):
    """Something that keeps a database; made with its path, it opens it as its program does."""

    def begin(self) -> None:
        """Do what the program does before it serves."""

    def step(self, random: Random) -> None:
        """Do something; whatever it changed is durable when it returns."""

    def rows(self) -> list[Any]:
        """Return all that the tables hold."""

    def check_integrity(self) -> list[str]:
        """Have SQLite look at its file."""

    def find_faults(self) -> list[str]:
        """Look at the contents as the subject does itself."""

    def weaken(self, synchronous: str) -> None:
        """Sync less than the program demands."""

    def close(self) -> None:
        """Close the database."""


class _Stored:
    """What is common to those who keep one connection."""

    connection: apsw.Connection

    def rows(self) -> list[Any]:
        return read_tables(self.connection)

    def check_integrity(self) -> list[str]:
        return check_integrity(self.connection)

    def weaken(self, synchronous: str) -> None:
        self.connection.pragma("synchronous", synchronous)

    def close(self) -> None:
        self.connection.close()


class BankSubject(_Stored):
    """A bank: prepares and decisions, several a turn."""

    def __init__(self, path: Path) -> None:
        self._store = BankStore.open(path, "HDFC")
        self.connection = self._store._connection
        self.connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)

    def begin(self) -> None:
        """Open accounts, and take up what is in doubt."""
        self._store.open_accounts(dict.fromkeys(USERS, 100_000), "INR", now_us=1)
        self._participant = Participant("HDFC", Ledger(self._store.find_account, self._store.holds()))

    def step(self, random: Random) -> None:
        """Take a turn on some prepares and some decisions."""
        held = self._participant.in_doubt()
        decided = random.sample(held, min(len(held), random.randrange(4)))
        decides = [Decide(*transaction, commit=random.random() < 0.7) for transaction in decided]
        if random.random() < 0.2:
            decides.append(Decide(random.randbytes(16), "bob", 1, commit=False))
        prepares = [_draw_prepare(random) for _ in range(random.randrange(4))]
        event = bank_turn.Received(prepares, decides, "stream")
        bank_turn.take_turn(self._participant, self._store, [event], random.randrange(10**15))

    def find_faults(self) -> list[str]:
        return [*self._store.find_faults(), *self._store.chain.find_breaks(whole=True)]


class GatewaySubject(_Stored):
    """The gateway: payments begun, voted on and timed out; banks that register; logins that end."""

    def __init__(self, path: Path) -> None:
        self._store = GatewayStore.open(path)
        self.connection = self._store._connection
        self.connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
        self._now_ms = 0

    def begin(self) -> None:
        """Begin an epoch."""
        self._rules = Coordinator(
            epoch=self._store.begin_epoch(), last_sequence=self._store.last_sequence(), timeout_ms=50
        )
        self._rules.connected.update(HDFC=True, ICICI=True)

    def step(self, random: Random) -> None:
        """Take a turn on requests and votes, or note a bank or a login."""
        if random.random() < 0.1:
            self._store.save_bank(random.choice(("HDFC", "ICICI")), f"localhost:{random.randrange(9999)}")
            return
        if random.random() < 0.1:
            self._store.revoke_token(random.randbytes(4).hex(), random.random())
            return
        events: list[gateway_turn.Event] = [
            gateway_turn.Voted(bank, [self._draw_vote(random, opened.payment)], [])
            for opened in list(self._rules.open.values())
            for bank in opened.payment.banks
            if random.random() < 0.7
        ]
        events += [gateway_turn.Begin(_draw_payment(random), None) for _ in range(random.randrange(4))]
        self._now_ms += 20
        now = gateway_turn.Now(self._now_ms, random.randrange(10**15))
        gateway_turn.take_turn(self._rules, self._store, events, now)

    def _draw_vote(self, random: Random, payment: Payment) -> Vote:
        kind, reason = VoteKind.YES, Reason.NONE
        if random.random() < 0.2:
            kind, reason = VoteKind.NO, Reason.INSUFFICIENT_FUNDS
        return Vote(payment.payment_id, payment.payer, self._rules.epoch, kind, reason)

    def find_faults(self) -> list[str]:
        return self._store.chain.find_breaks(whole=True)


class _TunedOutbox(Outbox):
    """The real outbox, which can be made to sync less."""

    synchronous = "FULL"

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        with super()._open() as connection:
            connection.pragma("synchronous", self.synchronous)
            yield connection


class OutboxSubject:
    """A client's outbox: opened and closed for each operation, so the log comes and goes."""

    def __init__(self, path: Path) -> None:
        path.touch()  # the outbox looks whether it is there; its content is elsewhere
        self._outbox = _TunedOutbox(path)
        self._items: list[Item] = []

    def begin(self) -> None:
        """Do nothing: an outbox is opened when it is needed."""

    def step(self, random: Random) -> None:
        """Save, mark, settle or cancel a payment."""
        if not self._items or random.random() < 0.4:
            payment_id = random.randbytes(16).hex()
            request = PaymentRequest(payment_id, "alice@HDFC", "bob@ICICI", random.randrange(1, 10**6), "INR")
            self._items.append(self._outbox.save("alice", request))
            return
        item = random.choice(self._items)
        match random.randrange(3):
            case 0:
                self._outbox.mark_sent(item)
            case 1:
                self._outbox.settle(item, random.choice((State.COMMITTED, State.DECLINED)), "so it is")
            case _:
                try:
                    self._outbox.cancel("alice", item.request.payment_id)
                except CannotCancel:
                    return

    def rows(self) -> list[Any]:
        with self._outbox._open() as connection:
            return read_tables(connection)

    def check_integrity(self) -> list[str]:
        with self._outbox._open() as connection:
            return check_integrity(connection)

    def find_faults(self) -> list[str]:
        return []

    def weaken(self, synchronous: str) -> None:
        self._outbox.synchronous = synchronous

    def close(self) -> None:
        pass


def _draw_prepare(random: Random) -> Prepare:
    payer, payee = random.choice(USERS), random.choice(USERS)
    banks = ("HDFC", "ICICI") if random.random() < 0.5 else ("ICICI", "HDFC")
    return Prepare(random.randbytes(16), payer, 1, banks[0], payee, banks[1], random.randrange(1, 5000), "INR")


def _draw_payment(random: Random) -> Payment:
    return Payment(random.randbytes(16), "alice", "HDFC", "bob", "ICICI", random.randrange(1, 5000), "INR", "rent")


def read_tables(connection: apsw.Connection) -> list[Any]:
    """Return all rows of all tables."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return [(name, connection.execute(f"SELECT * FROM {name}").fetchall()) for (name,) in names]


def check_integrity(connection: apsw.Connection) -> list[str]:
    """Return what SQLite finds wrong with its own structures."""
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found
