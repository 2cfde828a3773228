"""One turn of a bank: look up, apply the rules, make durable. What may be said comes back.

Duties 1 and 2 of `nodes.core`, in one place that knows no network: the program's loop
and the simulator call it alike.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from nodes.bank.store import BankStore
from nodes.core.chain import Head
from nodes.core.ledger import Account, Entry, Hold
from nodes.core.messages import Contradiction, Decide, PaymentKey, Prepare, TransactionKey, Vote
from nodes.core.participant import Participant
from nodes.core.settlement import Clearing
from nodes.runtime.crash_points import reach

Stream = Any
"""Where a message came from; handed back with the answer and never looked into."""


class Opened(NamedTuple):
    """The gateway has opened a stream; it is told what is in doubt."""

    stream: Stream


class Received(NamedTuple):
    """A message of the gateway, or (without a stream) its answer to an inquiry."""

    prepares: list[Prepare]
    decides: list[Decide]
    stream: Stream
    number: int = 0
    cut: int = 0
    keeps_books: bool = False


Event = Opened | Received


class Cut(NamedTuple):
    """How the books stood after a message that asked for it; ``accounts`` and ``holds`` if they are to be kept."""

    number: int
    head: Head
    clearing: dict[str, Clearing]
    in_doubt: int
    accounts: list[Account] | None
    holds: list[Hold]


class Said(NamedTuple):
    """The answer to one event; it is durable. ``number`` is that of the message answered."""

    stream: Stream
    number: int
    votes: list[Vote]
    contradictions: list[Contradiction]
    in_doubt: list[TransactionKey]
    cut: Cut | None = None


def take_turn(participant: Participant, store: BankStore, events: list[Event], now_us: int) -> list[Said]:
    """Carry out all that has gathered. An exception means that the process must end without a word."""
    said: list[Said] = []
    for part in _split_at_cuts(events):
        said += _take_part(participant, store, part, now_us)
    return said


def _split_at_cuts(events: list[Event]) -> Iterator[list[Event]]:
    """Yield the events up to each that asks for a cut, then the rest: it is read from the disk, between writes."""
    start = 0
    for end, event in enumerate(events, 1):
        if isinstance(event, Received) and event.cut:
            yield events[start:end]
            start = end
    if start < len(events):
        yield events[start:]


def _take_part(participant: Participant, store: BankStore, events: list[Event], now_us: int) -> list[Said]:
    participant.start_turn(_look_up(participant, store, events), now_us)
    said = [_answer(participant, event) for event in events]
    changes = participant.ledger.take_changes()
    if any(changes):
        store.write(changes, now_us)
    last = events[-1]
    if isinstance(last, Received) and last.cut:
        said[-1] = said[-1]._replace(cut=_take_cut(last, participant, store))
    return said


def _take_cut(asked: Received, participant: Participant, store: BankStore) -> Cut:
    holds = list(participant.ledger.holds.values())
    accounts = store.accounts() if asked.keeps_books else None
    return Cut(asked.cut, store.chain.head, store.clearing(), len(holds), accounts, holds if accounts else [])


def _look_up(participant: Participant, store: BankStore, events: list[Event]) -> dict[PaymentKey, Entry]:
    """Fetch what the journal knows of this turn's payments; what is held here is not in it."""
    holds = participant.ledger.holds
    asked: list[PaymentKey] = []
    for event in events:
        if isinstance(event, Received):
            asked += [prepare[:2] for prepare in event.prepares]
            late = [key for payment_id, payer, *_ in event.decides if (key := (payment_id, payer)) not in holds]
            if late:
                reach("bank.decision.nothing-held")
            asked += late
    recorded = store.find_entries(asked)
    if recorded:
        reach("bank.message.repeated")
    return recorded


def _answer(participant: Participant, event: Event) -> Said:
    if isinstance(event, Opened):
        return Said(event.stream, 0, [], [], participant.in_doubt())
    # Decisions first: what a payment has brought can be spent by the next in the same message.
    contradictions = [found for found in map(participant.decide, event.decides) if found is not None]
    votes: list[Vote] = []
    for said in map(participant.prepare, event.prepares):
        if isinstance(said, Vote):
            votes.append(said)
        elif said is not None:
            contradictions.append(said)
    return Said(event.stream, event.number, votes, contradictions, [])
