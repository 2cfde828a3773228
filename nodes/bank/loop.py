"""The bank's one loop: gathered messages in, a durable turn, votes out.

Everything that touches the books passes through here, one turn at a time.
"""

import time
from collections.abc import Callable

from interbank.v1 import bank_pb2 as pb

from nodes.bank.conversions import (
    read_decides,
    read_prepares,
    write_contradiction,
    write_cut,
    write_key,
    write_votes,
)
from nodes.bank.grants import Grants
from nodes.bank.store import BankStore
from nodes.bank.turn import Event, Opened, Received, Said, take_turn
from nodes.core.ledger import Ledger
from nodes.core.messages import Contradiction
from nodes.core.participant import Participant
from nodes.core.soundness import demand_sound_decides, demand_sound_prepares
from nodes.runtime.audit_service import Standing, Standings
from nodes.runtime.chain_messages import read_head, write_head
from nodes.runtime.crash_points import reach
from nodes.runtime.turns import Inbox, run_turns

Reply = Callable[[pb.TransactResponse], None]


class BankLoop:
    """One bank's participant and its store, driven in turns. ``report`` is handed each contradiction."""

    def __init__(
        self, bank: str, store: BankStore, grants: Grants, report: Callable[[Contradiction], None]
    ) -> None:
        self.ledger = Ledger(store.find_account, store.holds())
        self._bank = bank
        self._participant = Participant(bank, self.ledger)
        self._store = store
        self._grants = grants
        self._report = report
        self._inbox: Inbox[Event] = Inbox()
        self.standings = Standings()

    async def run(self) -> None:
        """Take turns until cancelled. An exception means that the process must end at once."""
        await run_turns(self._inbox, self._turn)

    def open_stream(self, reply: Reply) -> None:
        """Answer a new stream, in its turn, with all that is in doubt."""
        self._inbox.put(Opened(reply))

    def receive(self, request: pb.TransactRequest, reply: Reply) -> None:
        """Take a message of the gateway; ``reply`` gets the answer once it is durable. Raises ValueError."""
        if request.token_keys:
            self._grants.use_keys(request.token_keys)
        prepares, decides = read_prepares(request, self._grants.find), read_decides(request.decides)
        demand_sound_prepares(self._participant.bank, prepares)
        demand_sound_decides(decides)
        reach("bank.prepare.received" if prepares else "bank.decision.received")
        if request.HasField("head"):
            self._store.chain.hear("gateway", read_head(request.head))
        self._inbox.put(Received(prepares, decides, reply, request.number, request.cut, request.keep_books))

    def receive_decisions(self, decides: pb.Decides) -> None:
        """Take the answer to an inquiry. Raises ValueError."""
        answered = read_decides(decides)
        demand_sound_decides(answered)
        self._inbox.put(Received([], answered, None))

    def _turn(self, events: list[Event]) -> None:
        reach("bank.turn.gathered")
        for said in take_turn(self._participant, self._store, events, time.time_ns() // 1000):
            for contradiction in said.contradictions:
                reach("bank.contradiction.unreported")
                self._report(contradiction)
            if said.stream is not None:
                reach("bank.vote.durable-unsent" if said.votes else "bank.entry.durable-unconfirmed")
                said.stream(self._write_response(said))

    def _write_response(self, said: Said) -> pb.TransactResponse:
        response = pb.TransactResponse(
            votes=write_votes(said.votes),
            done_number=said.number,
            in_doubt=map(write_key, said.in_doubt),
            contradictions=map(write_contradiction, said.contradictions),
            head=write_head(self._store.chain.head),
        )
        if said.cut is not None:
            response.cut.CopyFrom(write_cut(said.cut, self._bank))
            if said.cut.accounts is not None:
                self.standings.keep(said.cut.number, Standing(said.cut.accounts, said.cut.holds, ()))
        return response
