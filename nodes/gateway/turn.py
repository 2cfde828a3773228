"""One turn of the gateway: look up, apply the rules, make durable. What may be said comes back.

Duties 1 and 2 of `nodes.core`, in one place that knows no network: the program's loop
and the simulator call it alike.
"""

from collections.abc import Callable
from typing import NamedTuple

from nodes.core.authority import Authority
from nodes.core.coordinator import Caller, Coordinator, Effects
from nodes.core.messages import Contradiction, Decide, Payment, PaymentKey, TransactionKey, Vote
from nodes.core.resolution import Resolution, State
from nodes.gateway.store import GatewayStore


class Begin(NamedTuple):
    """A client asks for a payment."""

    payment: Payment
    caller: Caller
    authority: Authority | None = None


class Voted(NamedTuple):
    """A bank has answered prepares, and said what contradicts its records."""

    bank: str
    votes: list[Vote]
    contradictions: list[Contradiction]


class Connected(NamedTuple):
    """A bank has opened its stream."""

    bank: str
    in_doubt: list[TransactionKey]


class Disconnected(NamedTuple):
    """A bank's stream is gone."""

    bank: str


class Inquiry(NamedTuple):
    """A bank asks about what it holds in doubt."""

    bank: str
    transactions: list[TransactionKey]
    caller: Callable[[list[Decide]], None]


class Resolve(NamedTuple):
    """An operator settles by hand what no record settles; ``banks`` is what each of them has on record of it."""

    resolution: Resolution
    banks: dict[str, State | None]
    caller: Callable[[str], None]


class DeadlineCame(NamedTuple):
    """Some payment may have waited long enough."""


Event = Begin | Voted | Connected | Disconnected | Inquiry | Resolve | DeadlineCame


class Now(NamedTuple):
    """The time, as data: ``monotonic_ms`` for deadlines, ``wall_us`` for what is shown."""

    monotonic_ms: int
    wall_us: int


class Spoken(NamedTuple):
    """What may be said after a turn: it is durable."""

    effects: Effects
    inquiries: list[tuple[Inquiry, list[Decide]]]
    contradictions: list[Contradiction]
    objections: list[tuple[Resolve, str]]
    """For each that was to be resolved, why it may not be; empty if it is."""


def take_turn(coordinator: Coordinator, store: GatewayStore, events: list[Event], now: Now) -> Spoken:
    """Decide on all that has gathered. An exception means that the process must end without a word."""
    coordinator.tell_time(*now)
    recorded = store.find_decisions(_keys(events))
    inquiries: list[tuple[Inquiry, list[Decide]]] = []
    objections: list[tuple[Resolve, str]] = []
    for event in events:
        match event:
            case Begin(payment, caller, authority):
                coordinator.begin(payment, caller, recorded.get(payment[:2]) if recorded else None, authority)
            case Voted(bank, votes, contradictions):
                for found in contradictions:
                    coordinator.contradict(found)
                for vote in votes:
                    coordinator.count_vote(bank, vote)
            case Inquiry(bank, transactions):
                inquiries.append((event, coordinator.answer_inquiry(bank, transactions, recorded)))
            case Connected(bank, in_doubt):
                coordinator.connect(bank, in_doubt, recorded)
            case Disconnected(bank):
                coordinator.disconnect(bank)
            case Resolve(resolution, banks):
                objection = coordinator.resolve(resolution, banks, recorded.get(resolution.transaction[:2]))
                if not objection:
                    store.save_resolution(resolution)
                objections.append((event, objection))
    coordinator.expire()
    effects = coordinator.take_effects()
    contradictions = effects.contradictions
    if effects.decisions or contradictions:
        store.write(effects.decisions.values(), contradictions, now.wall_us)
    return Spoken(effects, inquiries, contradictions, objections)


def _keys(events: list[Event]) -> list[PaymentKey]:
    """Collect what must be looked up before the turn."""
    keys: list[PaymentKey] = []
    for event in events:
        match event:
            case Begin(payment):
                keys.append(payment[:2])
            case Inquiry(_, transactions) | Connected(_, transactions):
                keys += [(payment_id, payer) for payment_id, payer, _ in transactions]
            case Resolve(resolution):
                keys.append(resolution.transaction[:2])
    return keys
