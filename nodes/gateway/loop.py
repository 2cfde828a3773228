"""The gateway's one loop: gathered requests and votes in, a durable turn, then answers out.

Everything that decides passes through here, one turn at a time. A payment is detached
from the call that brought it: a caller that goes away stops nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from interbank.v1 import bank_pb2 as pb

from nodes.core.authority import Authority
from nodes.core.coordinator import Answer, Coordinator, Effects
from nodes.core.messages import Contradiction, Decide, Decision, Payment, TransactionKey
from nodes.core.recovery import RECORDS_LOST
from nodes.core.resolution import Resolution, State
from nodes.core.soundness import demand_sound_keys
from nodes.gateway.bank_link import BankEvents, BankLink, Batch
from nodes.gateway.conversions import read_keys, read_votes
from nodes.gateway.cuts import Cuts
from nodes.gateway.heads import Heads
from nodes.gateway.store import GatewayStore
from nodes.gateway.turn import (
    Begin,
    Connected,
    DeadlineCame,
    Disconnected,
    Event,
    Inquiry,
    Now,
    Resolve,
    Voted,
    take_turn,
)
from nodes.runtime.chain_messages import read_head
from nodes.runtime.crash_points import reach
from nodes.runtime.turns import Inbox, run_turns

T = TypeVar("T")
Caller = Callable[[Answer], None]
Asked = tuple[Payment, Caller, Authority]
"""A payment, who gets its answer, and what its payer called with."""
_SEVERAL = 6
"""Callers from which on a turn waits for more: with fewer it would make them wait for nobody."""
_GATHERING_S_EACH = 0.00015
_GATHERING_S_MAX = 0.006
"""How long payments gather for a turn: so long for each caller, and no longer than that."""
_QUIET_S = 0.001
_SAID_MAX = 200
"""Characters of a bank's words that are kept."""


class GatewayLoop:
    """The coordinator, its store and the lines to the banks, driven in turns.

    ``record`` is handed each turn's decisions, ``report`` each contradiction.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        store: GatewayStore,
        *,
        record: Callable[[Iterable[Decision]], None],
        report: Callable[[Contradiction], None],
    ) -> None:
        self.coordinator = coordinator
        coordinator.resolved.update((each.transaction, each.commit) for _, each in store.resolutions())
        coordinator.recall_unknown(each for each in store.contradictions() if each.recorded == RECORDS_LOST)
        self.links: dict[str, BankLink] = {}
        self._store = store
        self._record = record
        self._report = report
        self._inbox: Inbox[Event] = Inbox()
        self._single_callers = 0
        """Calls under way that brought one payment each."""
        self._alarm: asyncio.TimerHandle | None = None
        self.cuts = Cuts(coordinator, store.chain, self.links, lambda: self._inbox.put(DeadlineCame()))

    async def run(self) -> None:
        """Take turns until cancelled. An exception means that the process must end at once."""
        await run_turns(self._inbox, self._turn, self._let_gather)

    async def _let_gather(self) -> None:
        """Let more come while several callers wait who bring one payment each, until no more does for a moment.

        They come one by one, each with a cost of its own, and a turn for two or three of them
        costs as much as one for twenty. Who calls alone, or brings many at a time, waits for nobody.

        Source: PostgreSQL's commit_delay and commit_siblings.
        """
        began, gathered = time.monotonic(), 0
        while self._single_callers >= _SEVERAL and gathered < len(self._inbox):
            gathered = len(self._inbox)
            await asyncio.sleep(_QUIET_S)
            if time.monotonic() - began >= min(_GATHERING_S_MAX, _GATHERING_S_EACH * self._single_callers):
                return

    # -- what comes in ----------------------------------------------------------

    async def pay(self, payment: Payment, authority: Authority) -> Answer:
        """Ask for a payment and wait for its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.begin(payment, _settle(future), authority)
        self._single_callers += 1
        try:
            return await future
        finally:
            self._single_callers -= 1

    def begin(self, payment: Payment, caller: Caller, authority: Authority) -> None:
        """Ask for a payment; ``caller`` gets the answer once it is durable."""
        self._inbox.put(Begin(payment, caller, authority))

    def begin_many(self, asked: Iterable[Asked]) -> None:
        """Ask for payments that came together."""
        self._inbox.extend(map(Begin._make, asked))

    async def inquire(self, bank: str, transactions: list[TransactionKey]) -> list[Decide]:
        """Answer what a bank asks about; what is under way is left out."""
        future: asyncio.Future[list[Decide]] = asyncio.get_running_loop().create_future()
        reach("gateway.inquiry.received")
        self._inbox.put(Inquiry(bank, transactions, _settle(future)))
        return await future

    async def resolve(self, resolution: Resolution, banks: dict[str, State | None]) -> str:
        """Settle by hand what no record settles; return why not, or an empty text once it is durable."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._inbox.put(Resolve(resolution, banks, _settle(future)))
        return await future

    def add_bank(self, link: BankLink) -> None:
        """Serve payments of one more bank, from when it connects."""
        self.links[link.name] = link
        self.coordinator.connected.setdefault(link.name, False)

    def sorted_links(self) -> list[BankLink]:
        """Return the lines to all banks, by name."""
        return [link for _, link in sorted(self.links.items())]

    def bank_events(self) -> BankEvents:
        """Where a `BankLink` reports to."""
        return BankEvents(
            connected=lambda bank, opening: self._inbox.put(Connected(bank, read_keys(opening.in_doubt))),
            received=self._receive,
            disconnected=self._lose,
            heads=Heads(self._store.chain, self._store.recoveries()),
        )

    def _lose(self, bank: str) -> None:
        self.cuts.lose(bank)
        self._inbox.put(Disconnected(bank))

    def _receive(self, bank: str, response: pb.TransactResponse) -> None:
        if response.HasField("head"):
            self._store.chain.hear(bank, read_head(response.head))
        if response.HasField("cut"):
            self.cuts.take_answer(bank, response.cut)
        if response.votes.payment_ids or response.contradictions:
            reach("gateway.vote.received")
            contradictions = _read_contradictions(bank, response.contradictions)
            self._inbox.put(Voted(bank, read_votes(response.votes), contradictions))

    # -- a turn -----------------------------------------------------------------

    def _turn(self, events: list[Event]) -> None:
        reach("gateway.turn.gathered")
        now = Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1000)
        spoken = take_turn(self.coordinator, self._store, events, now)
        self._speak(spoken.effects)
        self.cuts.mark()
        for inquiry, decides in spoken.inquiries:
            reach("gateway.inquiry.unanswered")
            self.cuts.answer_inquiry(partial(inquiry.caller, decides))
        for asked, objection in spoken.objections:
            asked.caller(objection)
        reach("gateway.turn.callers-told")
        self._record(spoken.effects.decisions.values())
        reach("gateway.turn.lines-written")
        for contradiction in spoken.contradictions:
            self._report(contradiction)
        self._set_alarm()

    def _speak(self, effects: Effects) -> None:
        if effects.decisions:
            reach("gateway.decision.durable-none-told")
        # Callers first: they wait, and the banks' part is off their path.
        for caller, answer in effects.answers:
            caller(answer)
        if effects.decisions:
            reach("gateway.decision.banks-untold")
        if effects.prepares:
            reach("gateway.prepare.none-sent")
        for bank in {*effects.prepares, *effects.decides}:
            prepares, decides = effects.prepares.get(bank, []), effects.decides.get(bank, [])
            self.links[bank].send(Batch(prepares, decides, self._store.chain.head))

    def _set_alarm(self) -> None:
        """Have a turn when the next deadline comes, even if nothing else does."""
        deadline_ms = self.coordinator.next_deadline_ms()
        if deadline_ms is None or self._alarm is not None:
            return
        wait_s = max(0.0, deadline_ms / 1000 - time.monotonic()) + 0.001
        self._alarm = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        reach("gateway.timeout.rang")
        self._inbox.put(DeadlineCame())


def _read_contradictions(bank: str, found: Sequence[pb.Contradiction]) -> list[Contradiction]:
    keys = read_keys(contradiction.transaction for contradiction in found)
    demand_sound_keys(keys)
    return [
        Contradiction(*key, contradiction.said[:_SAID_MAX], f"{bank}: {contradiction.recorded[:_SAID_MAX]}")
        for key, contradiction in zip(keys, found, strict=True)
    ]


def _settle(future: "asyncio.Future[T]") -> Callable[[T], None]:
    def settle(answer: T) -> None:
        if not future.done():
            future.set_result(answer)

    return settle
