"""The bank's one loop: gathered messages in, a durable turn, votes out.

Everything that touches the books passes through here, one turn at a time; a turn is
durable before any of its answers leaves (duties 2 to 4 of `nodes.core`).
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from interbank.v1 import bank_pb2 as pb

from nodes.bank.conversions import read_decides, read_prepares, write_contradiction, write_key, write_vote
from nodes.bank.store import BankStore
from nodes.core.ledger import Entry, Ledger
from nodes.core.messages import Contradiction, Decide, PaymentKey, Prepare
from nodes.core.participant import Participant
from nodes.runtime.turns import Inbox, run_turns

Reply = Callable[[pb.TransactResponse], None]


class Opened(NamedTuple):
    """The gateway has opened a stream; it is told what is in doubt."""

    reply: Reply


class Received(NamedTuple):
    """A message of a stream, parsed."""

    prepares: list[Prepare]
    decides: list[Decide]
    number: int
    reply: Reply


class BankLoop:
    """One bank's participant and its store, driven in turns."""

    def __init__(self, bank: str, store: BankStore, report: Callable[[Contradiction], None]) -> None:
        self.ledger = Ledger(store.find_account, store.holds())
        self.participant = Participant(bank, self.ledger)
        self._store = store
        self._report = report
        self._inbox: Inbox[Opened | Received] = Inbox()

    async def run(self) -> None:
        """Take turns until cancelled. An exception means that the process must end at once."""
        await run_turns(self._inbox, self.turn)

    def open_stream(self, reply: Reply) -> None:
        """Answer a new stream, in its turn, with all that is in doubt."""
        self._inbox.put(Opened(reply))

    def receive(self, request: pb.TransactRequest, reply: Reply) -> None:
        """Take a message of the gateway; ``reply`` gets the answer once it is durable."""
        self._inbox.put(Received(read_prepares(request), read_decides(request.decides), request.number, reply))

    def receive_decisions(self, decides: Iterable[pb.Decide]) -> None:
        """Take the answer to an inquiry."""
        self._inbox.put(Received([], read_decides(decides), 0, _no_reply))

    def turn(self, items: list[Opened | Received]) -> None:
        """Carry out all that has gathered, make it durable, then answer."""
        self.participant.start_turn(self._look_up(items), time.time_ns() // 1000)
        answers = [(item.reply, self._answer(item)) for item in items]
        changes = self.ledger.take_changes()
        if any(changes):
            self._store.write(changes)
        for reply, answer in answers:
            reply(answer)

    def _look_up(self, items: list[Opened | Received]) -> dict[PaymentKey, Entry]:
        """Fetch what the journal knows of this turn's payments; those held here are not in it."""
        holds = self.ledger.holds
        asked: list[PaymentKey] = []
        for item in items:
            if isinstance(item, Received):
                asked += [(p.payment_id, p.payer) for p in item.prepares]
                asked += [(d.payment_id, d.payer) for d in item.decides if (d.payment_id, d.payer) not in holds]
        return self._store.find_entries(asked)

    def _answer(self, item: Opened | Received) -> pb.TransactResponse:
        if isinstance(item, Opened):
            return pb.TransactResponse(in_doubt=map(write_key, self.participant.in_doubt()))
        votes = []
        contradictions = []
        for prepare in item.prepares:
            said = self.participant.prepare(prepare)
            if isinstance(said, Contradiction):
                contradictions.append(said)
            elif said is not None:
                votes.append(write_vote(said))
        for decide in item.decides:
            contradiction = self.participant.decide(decide)
            if contradiction is not None:
                contradictions.append(contradiction)
        for contradiction in contradictions:
            self._report(contradiction)
        return pb.TransactResponse(
            votes=votes, done_number=item.number, contradictions=map(write_contradiction, contradictions)
        )


def _no_reply(_: pb.TransactResponse) -> None:
    """Say nothing: the answer to an inquiry wants no answer."""
