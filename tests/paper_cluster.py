"""A gateway and three banks without processes or network: their real turns, on real files, in one thread."""

import shutil
from pathlib import Path
from uuid import UUID, uuid4

from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.core.audit import Report, audit
from nodes.core.books import Told
from nodes.core.coordinator import Coordinator
from nodes.core.ledger import Ledger
from nodes.core.messages import Payment
from nodes.core.participant import Participant
from nodes.gateway import turn as gateway_turn
from nodes.gateway.store import GatewayStore
from nodes.runtime.book_files import open_books

BANKS = ("HDFC", "ICICI", "SBI")
OPENING_MINOR = 1000


class PaperCluster:
    """Pay, then `stop`; what is on disk afterwards is what processes would have left."""

    def __init__(self, folder: Path) -> None:
        self.paths = {name: folder / f"{name}.db" for name in ("gateway", *BANKS)}
        self.gateway = GatewayStore.open(self.paths["gateway"])
        epoch = self.gateway.begin_epoch()
        self.coordinator = Coordinator(epoch=epoch, last_sequence=self.gateway.last_sequence(), timeout_ms=1000)
        self.banks = {name: BankStore.open(self.paths[name], name) for name in BANKS}
        self.participants = {}
        for name, store in self.banks.items():
            store.open_accounts(dict.fromkeys(("alice", "bob"), OPENING_MINOR), "INR", now_us=1)
            self.participants[name] = Participant(name, Ledger(store.find_account, store.holds()))
            self.coordinator.connect(name, [], {})
        self.coordinator.take_effects()
        self.now_us = 10_000_000

    def pay(
        self,
        amount_minor: int = 100,
        *,
        payer_bank: str = "ICICI",
        payee_bank: str = "HDFC",
        deaf: str = "",
        away: str = "",
    ) -> UUID:
        """Let alice pay bob. ``deaf`` banks vote and do not hear the decision; one ``away`` hears nothing."""
        payment_id = uuid4()
        payment = Payment(payment_id.bytes, "alice", payer_bank, "bob", payee_bank, amount_minor, "INR", "")
        begun = self._take_turn([gateway_turn.Begin(payment, None)])
        votes = [
            gateway_turn.Voted(said.bank, said.votes, [])
            for bank, prepares in begun.prepares.items()
            if bank != away
            for said in self._tell(bank, prepares, [])
        ]
        if away:
            self.now_us += 2_000_000
        decided = self._take_turn(votes)
        for bank, decides in decided.decides.items():
            if bank not in (*deaf.split(), away):
                self._tell(bank, [], decides)
        return payment_id

    def _take_turn(self, events):
        self.now_us += 10_000_000
        now = gateway_turn.Now(self.now_us // 1000, self.now_us)
        effects = gateway_turn.take_turn(self.coordinator, self.gateway, events, now).effects
        for bank in self.banks.values():
            bank.chain.hear("gateway", self.gateway.chain.head)
        return effects

    def _tell(self, bank, prepares, decides):
        event = bank_turn.Received(prepares, decides, bank, 1)
        said = bank_turn.take_turn(self.participants[bank], self.banks[bank], [event], self.now_us)
        self.gateway.chain.hear(bank, self.banks[bank].chain.head)
        return [_Said(bank, each.votes) for each in said]

    def copy(self, folder: Path) -> "PaperCluster":
        """Return a stopped cluster that has copies of the files."""
        copied = PaperCluster.__new__(PaperCluster)
        copied.paths = {name: Path(shutil.copy(path, folder)) for name, path in self.paths.items()}
        return copied

    def stop(self) -> None:
        for store in (self.gateway, *self.banks.values()):
            store.close()

    def audit(self, told: tuple[Told, ...] = ()) -> Report:
        banks = {name: self.paths[name] for name in BANKS}
        with open_books(self.paths["gateway"], banks) as (gateway, books):
            return audit(gateway, books, told)


class _Said:
    def __init__(self, bank, votes):
        self.bank, self.votes = bank, votes
