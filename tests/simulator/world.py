"""A cluster in one process: nodes that can die, disks that stay, and a bag of messages."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import apsw

from nodes.bank import store as bank_store
from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.core.coordinator import Answer, Coordinator, Decided, Differs
from nodes.core.ledger import Ledger
from nodes.core.messages import Decide, Outcome, Payment, Prepare, TransactionKey, VoteKind
from nodes.core.participant import Participant
from nodes.gateway import store as gateway_store
from nodes.gateway import turn as gateway_turn
from nodes.gateway.store import GatewayStore

BANKS = ("HDFC", "ICICI", "SBI")
USERS = ("alice", "bob", "carol")
OPENING_MINOR = 300
TIMEOUT_MS = 2000


def _image(schema: str, fill: Callable[[apsw.Connection], None]) -> bytes:
    """Make a database once, to start each schedule's disks from."""
    connection = apsw.Connection(":memory:")
    connection.execute(schema)
    fill(connection)
    return connection.serialize("main")


def _open_accounts(connection: apsw.Connection) -> None:
    BankStore(connection).open_accounts(dict.fromkeys(USERS, OPENING_MINOR), "INR", now_us=0)


_GATEWAY_IMAGE = _image(gateway_store.SCHEMA, lambda _: None)
_BANK_IMAGE = _image(bank_store.SCHEMA, _open_accounts)


class Crash(Exception):
    """The node dies here."""


class Message(NamedTuple):
    """Something on its way. ``kind`` names the method of the receiver that takes it."""

    to: str
    kind: str
    body: Any


@dataclass
class Told:
    """What a client knows of one payment of its own.

    It may have sent several bodies under one id; whichever the gateway decided on
    first has an outcome, the others are refused.
    """

    payment: Payment
    outcomes: list[tuple[Payment, Outcome]] = field(default_factory=list)
    is_refused: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the body first sent has an answer that will not change."""
        return self.is_refused or any(payment == self.payment for payment, _ in self.outcomes)


class Gateway:
    """The gateway as a process: what is in it is lost when it dies."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.store = GatewayStore(world.gateway_disk)
        epoch = self.store.begin_epoch()
        self.coordinator = Coordinator(
            epoch=epoch, last_sequence=self.store.last_sequence(), timeout_ms=TIMEOUT_MS
        )
        self.coordinator.connected.update(dict.fromkeys(BANKS, False))
        self.inbox: list[gateway_turn.Event] = []

    def pay(self, body: tuple[str, Payment]) -> None:
        """Take a client's request."""
        client, payment = body
        self.inbox.append(gateway_turn.Begin(payment, (client, payment)))

    def hear(self, body: tuple[str, bank_turn.Said]) -> None:
        """Take a bank's answer on the stream; the first of a stream says what is in doubt."""
        bank, said = body
        if said.number == 0:
            self.inbox.append(gateway_turn.Connected(bank, said.in_doubt))
        else:
            self.inbox.append(gateway_turn.Voted(bank, said.votes, said.contradictions))

    def inquire(self, body: tuple[str, list[TransactionKey]]) -> None:
        """Take a bank's inquiry."""
        bank, transactions = body
        self.inbox.append(gateway_turn.Inquiry(bank, transactions, lambda _: None))

    def turn(self) -> None:
        """Take a turn; each thing said afterwards may be the last."""
        world = self._world
        events, self.inbox = self.inbox, []
        world.may_crash("gateway", "before the turn")
        now = gateway_turn.Now(world.now_ms, world.now_ms * 1000)
        spoken = gateway_turn.take_turn(self.coordinator, self.store, events, now)
        world.contradictions += spoken.contradictions
        effects = spoken.effects
        for bank in sorted({*effects.prepares, *effects.decides}):
            world.may_crash("gateway", "before telling a bank")
            prepares, decides = effects.prepares.get(bank, []), effects.decides.get(bank, [])
            world.send(Message(bank, "receive", (prepares, decides)))
        for inquiry, decides in spoken.inquiries:
            world.may_crash("gateway", "before answering an inquiry")
            world.send(Message(inquiry.bank, "receive", ([], decides)))
        for caller, answer in effects.answers:
            world.may_crash("gateway", "before answering a client")
            world.send(Message("client", "answer", (caller, answer)))


class Bank:
    """A bank as a process."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self._world = world
        self.store = BankStore(world.bank_disks[name])
        self.ledger = Ledger(self.store.find_account, self.store.holds())
        self.participant = Participant(name, self.ledger)
        self.inbox: list[bank_turn.Event] = []

    def receive(self, body: tuple[list[Prepare], list[Decide]]) -> None:
        """Take a message of the gateway."""
        self.inbox.append(bank_turn.Received(*body, stream="stream", number=1))

    def open(self, _: None) -> None:
        """Let the gateway open its stream."""
        self.inbox.append(bank_turn.Opened("stream"))

    def ask(self) -> None:
        """Ask about all that is in doubt."""
        in_doubt = self.participant.in_doubt()
        if in_doubt:
            self._world.send(Message("gateway", "inquire", (self.name, in_doubt)))

    def turn(self) -> None:
        """Take a turn; each thing said afterwards may be the last."""
        world = self._world
        events, self.inbox = self.inbox, []
        world.may_crash(self.name, "before the turn")
        answers = bank_turn.take_turn(self.participant, self.store, events, world.now_ms * 1000)
        world.watch_votes(self.name, events, answers)
        for said in answers:
            world.contradictions += said.contradictions
            world.may_crash(self.name, "before answering")
            world.send(Message("gateway", "hear", (self.name, said)))


class World:
    """All there is, and each thing that can happen to it. The `Random` decides; nothing else does."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        # In a small world all that happens, happens to few payments.
        self.payers, self.payment_ids = self.random.choice([(1, 1), (2, 1), (3, 2)])
        self.now_ms = 0
        self.crash_rate = 0.0
        self.bag: list[Message] = []
        self.cut: set[str] = set()
        self.contradictions: list[Any] = []
        self.aborted: set[tuple[str, TransactionKey]] = set()
        self.broken_votes: list[Any] = []
        self.told: dict[tuple[bytes, str], Told] = {}
        self.digest = hashlib.blake2b(digest_size=16)
        self.events = 0
        self.log: list[str] | None = None
        self.gateway_disk = self._disk(_GATEWAY_IMAGE)
        self.bank_disks = {name: self._disk(_BANK_IMAGE) for name in BANKS}
        self.gateway: Gateway | None = Gateway(self)
        self.banks: dict[str, Bank | None] = {name: Bank(name, self) for name in BANKS}

    @staticmethod
    def _disk(image: bytes) -> apsw.Connection:
        connection = apsw.Connection(":memory:")
        connection.deserialize("main", image)
        return connection

    def note(self, *event: object) -> None:
        """Put an event on record: in the digest, and in the log if one is kept."""
        line = " ".join(map(str, event))
        self.digest.update(line.encode())
        self.events += 1
        if self.log is not None:
            self.log.append(f"{self.now_ms:6} {line}")

    # -- faults -----------------------------------------------------------------

    def may_crash(self, node: str, where: str) -> None:
        """Let a node die here, now and then."""
        if self.crash_rate and self.random.random() < self.crash_rate:
            self.note("crash", node, where)
            raise Crash(node)

    def crash(self, node: str) -> None:
        """End a process: all that was not on its disk is gone."""
        disk = self.gateway_disk if node == "gateway" else self.bank_disks[node]
        if disk.in_transaction:
            disk.execute("ROLLBACK")
        if node == "gateway":
            self.gateway = None
        else:
            self.banks[node] = None

    def restart(self, node: str) -> None:
        """Start a process from its disk."""
        self.note("start", node)
        if node == "gateway":
            self.gateway = Gateway(self)
            for bank in BANKS:
                self.send(Message(bank, "open", None))
        else:
            self.banks[node] = Bank(node, self)
            self.send(Message(node, "open", None))

    def is_held_up(self, message: Message) -> bool:
        """Tell whether a message has to wait until a bank's line is whole again."""
        return message.to in self.cut or (message.to == "gateway" and message.body[0] in self.cut)

    # -- what goes on -----------------------------------------------------------

    def send(self, message: Message) -> None:
        """Put a message on its way."""
        self.bag.append(message)

    def deliver(self, message: Message) -> None:
        """Hand a message over; to a node that is down it is lost."""
        self.note("deliver", message.to, message.kind, message.body)
        if message.to == "client":
            self._answer_client(*message.body)
            return
        node = self.gateway if message.to == "gateway" else self.banks[message.to]
        if node is not None:
            getattr(node, message.kind)(message.body)

    def _answer_client(self, caller: tuple[str, Payment], answer: Answer) -> None:
        _, asked = caller
        told = self.told[asked.key]
        if isinstance(answer, Decided):
            told.outcomes.append((asked, answer.decision.outcome))
        elif isinstance(answer, Differs) and asked == told.payment:
            told.is_refused = True

    def has_heard(self, node: str) -> bool:
        """Tell whether something waits for a node's next turn."""
        process = self.gateway if node == "gateway" else self.banks[node]
        return process is not None and bool(process.inbox)

    def turn(self, node: str) -> None:
        """Let a node take a turn on what it has heard; it may die in it."""
        process = self.gateway if node == "gateway" else self.banks[node]
        if process is None or (not process.inbox and node != "gateway"):
            return
        self.note("turn", node, len(process.inbox))
        try:
            process.turn()
        except Crash:
            self.crash(node)

    def watch_votes(self, bank: str, events: list[bank_turn.Event], answers: list[bank_turn.Said]) -> None:
        """Take note of a bank that votes yes on what it was told before is aborted."""
        for said in answers:
            for vote in said.votes:
                transaction = vote.payment_id, vote.payer, vote.epoch
                if vote.kind is VoteKind.YES and (bank, transaction) in self.aborted:
                    self.broken_votes.append((bank, vote))
        for event in events:
            if isinstance(event, bank_turn.Received):
                self.aborted.update((bank, decide[:3]) for decide in event.decides if not decide.commit)

    # -- clients ----------------------------------------------------------------

    def want_payment(self) -> None:
        """Let a client want to move money that may or may not be there."""
        choose = self.random
        payer = choose.choice(USERS[: self.payers])
        payer_bank, payee_bank = choose.choice(BANKS), choose.choice(BANKS)
        payee = choose.choice([user for user in USERS if user != payer or payer_bank != payee_bank])
        # A few ids, so that users share them: ids are each user's own.
        payment_id = bytes([choose.randrange(self.payment_ids)]) * 16
        amount_minor = choose.choice([1, 50, 120, 250, 301])
        payment = Payment(payment_id, payer, payer_bank, payee, payee_bank, amount_minor, "INR", "")
        if payment.key not in self.told:
            self.told[payment.key] = Told(payment)
            self.send(Message("gateway", "pay", ("client", payment)))
            self.note("want", payment)

    def ask_again(self) -> None:
        """Let a client send a payment again: mostly the same, now and then with a changed body."""
        if not self.told:
            return
        told = self.random.choice(list(self.told.values()))
        payment = told.payment
        if self.random.random() < 0.3:
            payment = self._change(payment)
        self.note("again", payment)
        self.send(Message("gateway", "pay", ("client", payment)))

    def _change(self, payment: Payment) -> Payment:
        """Make another body for the same id: another amount, or other banks."""
        if self.random.random() < 0.5:
            return payment._replace(amount_minor=payment.amount_minor + 1)
        payer_bank = self.random.choice([bank for bank in BANKS if bank != payment.payee_bank])
        return payment._replace(payer_bank=payer_bank)
