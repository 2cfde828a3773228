"""All there is: disks, processes, the network, the clock, and the dice. Nothing but the dice decides."""

import hashlib
from math import inf
from random import Random
from typing import Protocol

import apsw

from nodes.bank import store as bank_store
from nodes.bank.store import BankStore
from nodes.gateway import store as gateway_store
from tests.simulator.bank import Bank
from tests.simulator.callers import CALLERS, Callers
from tests.simulator.coverage import Coverage
from tests.simulator.disk import Killed, Shelf, make_image
from tests.simulator.gateway import GATEWAY, Gateway
from tests.simulator.network import Message, Network
from tests.simulator.shell import OUTBOX_IMAGE, Shell
from tests.simulator.witness import Witness

BANKS = ("HDFC", "ICICI", "SBI")
NODES = (GATEWAY, *BANKS)
USERS = ("alice", "bob", "carol")
OPENING_MINOR = 300


def _make_bank_image(name: str) -> bytes:
    def fill(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO bank VALUES (?)", (name,))
        BankStore(connection).open_accounts(dict.fromkeys(USERS, OPENING_MINOR), "INR", now_us=0)

    return make_image(bank_store.SCHEMA, fill)


_IMAGES = {GATEWAY: make_image(gateway_store.SCHEMA)}
_IMAGES |= {name: _make_bank_image(name) for name in BANKS}
_IMAGES |= dict.fromkeys(USERS, OUTBOX_IMAGE)
_SHELF = Shelf(_IMAGES)


class Phase(Protocol):
    """What goes on while somebody waits: the bad day, or the rest after it."""

    def play_on(self) -> None:
        """Let something happen."""

    def gives_up(self) -> bool:
        """Tell whether a caller who waits gives up now."""

    def loses_patience(self) -> bool:
        """Tell whether a user stops trying now."""


class World:
    """The cluster and its clients."""

    bank_names = BANKS
    users = USERS

    def __init__(self, seed: int, log: list[str] | None = None) -> None:
        self.random = Random(seed)
        self.now_ms = 0
        self.crash_rate = 0.0
        self.is_calm = False
        self.calm_since_ms: float = inf
        self.is_copied = False
        self.copies: dict[str, bytes] = {}
        """The nodes' disks as they once were, if they are copied."""
        self.capacity = self.random.choice([100_000, 100_000, 1])
        self.bank_capacity = self.random.choice([100_000, 100_000, 1])
        self.cached_accounts = self.random.choice([100_000, 100_000, 1])
        """How many accounts a bank keeps in memory between its turns."""
        self.paused: set[str] = set()
        self.suspended: set[str] = set()
        self.digest = hashlib.blake2b(digest_size=16)
        self.events = 0
        self.log = log
        self.phase: Phase
        self.network = Network(self.random)
        self.coverage = Coverage()
        self.disks = _SHELF.take()
        self.witness = Witness(self)
        self.gateway: Gateway | None = Gateway(self)
        self.banks: dict[str, Bank | None] = {name: Bank(name, self) for name in BANKS}
        self.shells = {user: Shell(user, self) for user in USERS}
        self.callers = Callers(self)

    def end(self) -> None:
        """Let go of the disks: nothing of this world may be used any more."""
        _SHELF.put_back(self.disks)

    def copy_disks(self) -> None:
        """Keep what is on the nodes' disks now."""
        self.copies = {node: self.disks[node].connection.serialize("main") for node in NODES}

    def note(self, *event: object) -> None:
        """Put an event on record: in the digest, and in the log if one is kept."""
        line = " ".join(map(str, event))
        self.digest.update(line.encode())
        self.events += 1
        if self.log is not None:
            self.log.append(f"{self.now_ms:6} {line}")

    # -- dice -------------------------------------------------------------------

    def happens(self, chance: float) -> bool:
        """Tell whether a mishap of this chance happens now; never while the world is calm."""
        return not self.is_calm and self.random.random() < chance

    def may_die(self, name: str, where: str) -> None:
        """Let a process die here, now and then."""
        if self.crash_rate and self.random.random() < self.crash_rate:
            self.note("dies", name, where)
            raise Killed

    def endanger(self, name: str) -> None:
        """Let a process die while it writes next, now and then: at some statement."""
        if self.crash_rate and self.random.random() < self.crash_rate:
            statement = self.random.randrange(9)
            self.note("in danger", name, statement)
            self.disks[name].arm(statement)

    # -- processes --------------------------------------------------------------

    def process(self, node: str) -> Gateway | Bank | None:
        """Return a node's process, if it runs."""
        return self.gateway if node == GATEWAY else self.banks[node]

    def turn(self, node: str) -> None:
        """Let a node take a turn on what it has heard; it may die in it."""
        process = self.process(node)
        if process is None or node in self.paused or not (process.inbox or node == GATEWAY):
            return
        self.note("turn", node, len(process.inbox))
        self.endanger(node)
        try:
            process.turn()
            self.disks[node].disarm()
        except Killed:
            self.kill(node)

    def kill(self, node: str) -> None:
        """End a process: all that was not on its disk is gone."""
        self.note("dead", node)
        self.disks[node].tear_off()
        self.paused.discard(node)
        if node == GATEWAY:
            self.gateway = None
        else:
            self.banks[node] = None
            if self.network.is_orderly:
                self.break_stream(node)

    def break_stream(self, bank: str) -> None:
        """Lose what is on its way on a bank's stream; the gateway notices."""
        self.network.drop(GATEWAY, bank)
        if self.gateway is not None:
            self.gateway.lose_stream(bank)

    def start(self, node: str) -> None:
        """Start a process from its disk; it may die before it serves."""
        self.note("start", node)
        self.endanger(node)
        try:
            if node == GATEWAY:
                self.gateway = Gateway(self)
                self.witness.gateway_started(self.gateway)
            else:
                bank = self.banks[node] = Bank(node, self)
                self.witness.bank_started(bank)
            self.disks[node].disarm()
        except Killed:
            self.kill(node)
            return
        for bank_name in BANKS if node == GATEWAY else (node,):
            self.open_stream(bank_name)

    def open_stream(self, bank: str) -> None:
        """Have the gateway open its stream to a bank, and ask for the link that it has heard of."""
        heard = self.gateway.last_heard(bank) if self.gateway is not None else None
        self.network.send(GATEWAY, bank, "open", heard)

    def deliver(self, message: Message) -> None:
        """Hand a message over; to a node that is down it is lost."""
        self.note("deliver", *message)
        receiver: object
        if message.to == CALLERS:
            receiver = self.callers
        elif message.to in self.shells:
            receiver = self.shells[message.to]
        else:
            receiver = self.process(message.to)
        if message.kind == "answer":
            self.witness.told(*message.body)
        if receiver is not None:
            getattr(receiver, message.kind)(message)
