"""Gateway and bank as functions: a state and an event give the next state and what is said.

Each state holds what is on disk, and what is in memory where that differs. The functions
build the real rules from the state, take one real turn, and read the state back. They
depend on nothing else, so each answer is worked out once and remembered.
"""

from collections.abc import Iterable
from typing import NamedTuple

from nodes.bank import turn as bank_turn
from nodes.core.coordinator import Coordinator, Decided
from nodes.core.ledger import Account, Hold, Ledger
from nodes.core.messages import (
    Decide,
    Outcome,
    Payment,
    Prepare,
    Reason,
    TransactionKey,
    Vote,
    VoteKind,
)
from nodes.core.participant import Participant
from nodes.gateway import turn as gateway_turn
from tests.model.stores import BankDisk, GatewayDisk, PlainBankStore, PlainGatewayStore

TIMEOUT_MS = 1000
GATEWAY = "gateway"


class Wrong(Exception):
    """The rules did what must never be."""


class Message(NamedTuple):
    """Something that was said. It may arrive at any time later, any number of times, or never."""

    sender: str
    to: str
    content: "Prepare | Decide | Vote | Opening | Question"


class Opening(NamedTuple):
    """The first message of a bank's stream: all that it holds in doubt."""

    in_doubt: tuple[TransactionKey, ...]


class Question(NamedTuple):
    """A bank asks about a transaction that it holds in doubt."""

    transaction: TransactionKey


class Event(NamedTuple):
    """What happens to a node besides messages: ``what`` it is, and to whom it matters."""

    what: str
    about: "Payment | str | None" = None


class GatewayState(NamedTuple):
    """``open`` as (payment, banks that have voted yes), oldest first; ``told`` as (payment, outcome)."""

    disk: GatewayDisk
    epoch: int
    last_sequence: int
    open: tuple[tuple[Payment, tuple[str, ...]], ...]
    connected: tuple[str, ...]
    told: frozenset[tuple[Payment, Outcome]]


class BankState(NamedTuple):
    """``memory`` is (accounts, holds) where it is not what the disk says.

    ``done`` is how often it has opened a stream and asked, as far as that is bounded (`tests.model.space.Bounds`).
    """

    name: str
    disk: BankDisk
    memory: tuple[tuple[tuple[str, str, int, int, int], ...], tuple[Hold, ...]] | None
    done: tuple[int, int] = (0, 0)


# -- the gateway ----------------------------------------------------------------


def start_gateway(disk: GatewayDisk, told: frozenset[tuple[Payment, Outcome]]) -> GatewayState:
    """Start the gateway from its disk: another epoch, nothing open, nobody connected."""
    store = PlainGatewayStore(disk)
    epoch = store.begin_epoch()
    return GatewayState(store.disk, epoch, store.last_sequence(), (), (), told)


def turn_gateway(
    state: GatewayState, event: Event | Message, banks: tuple[str, ...]
) -> tuple[GatewayState, list[Message]]:
    """Let one thing happen to the gateway."""
    if isinstance(event, Event) and event.what == "restart":
        return start_gateway(state.disk, state.told), []
    rules, store = _build_coordinator(state, banks), PlainGatewayStore(state.disk)
    now_ms = len(state.open)
    if isinstance(event, Event) and event.what == "deadline":
        now_ms = TIMEOUT_MS
    spoken = gateway_turn.take_turn(rules, store, _gateway_events(event), gateway_turn.Now(now_ms, 0))
    if spoken.contradictions:
        raise Wrong(f"the gateway meets a contradiction: {spoken.contradictions[0]}")
    told = {
        (answer.decision.payment, answer.decision.outcome)
        for _, answer in spoken.effects.answers
        if isinstance(answer, Decided)
    }
    return _read_coordinator(rules, store, state.told | told), _say_as_gateway(spoken)


def _build_coordinator(state: GatewayState, banks: tuple[str, ...]) -> Coordinator:
    """Bring the rules to this state by the way that leads there: payments are begun, votes counted."""
    rules = Coordinator(epoch=state.epoch, last_sequence=state.last_sequence, timeout_ms=TIMEOUT_MS)
    rules.connected.update(dict.fromkeys(banks, True))
    for number, (payment, voters) in enumerate(state.open):
        rules.tell_time(number, 0)
        rules.begin(payment, "client", None)
        for bank in voters:
            rules.count_vote(bank, Vote(*payment.key, state.epoch, VoteKind.YES, Reason.NONE))
    rules.take_effects()
    rules.connected.update({bank: bank in state.connected for bank in banks})
    return rules


def _gateway_events(event: Event | Message) -> list[gateway_turn.Event]:
    match event:
        case Event("begin", Payment() as payment):
            return [gateway_turn.Begin(payment, "client")]
        case Event("disconnect", str(bank)):
            return [gateway_turn.Disconnected(bank)]
        case Message(bank, _, Vote() as vote):
            return [gateway_turn.Voted(bank, [vote], [])]
        case Message(bank, _, Opening(in_doubt)):
            return [gateway_turn.Connected(bank, list(in_doubt))]
        case Message(bank, _, Question(transaction)):
            return [gateway_turn.Inquiry(bank, [transaction], lambda _: None)]
        case _:
            return []


def _read_coordinator(
    rules: Coordinator, store: PlainGatewayStore, told: frozenset[tuple[Payment, Outcome]]
) -> GatewayState:
    opened = tuple(
        (each.payment, tuple(bank for bank in each.payment.banks if not each.awaits(bank)))
        for each in rules.open.values()
    )
    connected = tuple(sorted(bank for bank, is_connected in rules.connected.items() if is_connected))
    return GatewayState(store.disk, rules.epoch, rules.last_sequence, opened, connected, told)


def _say_as_gateway(spoken: gateway_turn.Spoken) -> list[Message]:
    effects = spoken.effects
    said = [Message(GATEWAY, bank, each) for bank, prepares in effects.prepares.items() for each in prepares]
    said += [Message(GATEWAY, bank, each) for bank, decides in effects.decides.items() for each in decides]
    said += [Message(GATEWAY, inquiry.bank, each) for inquiry, decides in spoken.inquiries for each in decides]
    return said


# -- a bank ---------------------------------------------------------------------


def turn_bank(state: BankState, event: Event | Message) -> tuple[BankState, list[Message]]:
    """Let one thing happen to a bank."""
    if isinstance(event, Event) and event.what == "restart":
        return state._replace(memory=None), []
    store, ledger = _build_ledger(state)
    participant = Participant(state.name, ledger)
    if isinstance(event, Event) and event.what == "ask":
        return state, [Message(state.name, GATEWAY, Question(each)) for each in participant.in_doubt()]
    said = bank_turn.take_turn(participant, store, [_bank_event(event)], 0)
    if said[0].contradictions:
        raise Wrong(f"{state.name} meets a contradiction: {said[0].contradictions[0]}")
    messages = [Message(state.name, GATEWAY, vote) for vote in said[0].votes]
    if isinstance(event, Event):
        messages.append(Message(state.name, GATEWAY, Opening(tuple(sorted(said[0].in_doubt)))))
    return _read_ledger(state, ledger, store), messages


def _build_ledger(state: BankState) -> tuple[PlainBankStore, Ledger]:
    store = PlainBankStore(state.disk)
    if state.memory is None:
        return store, Ledger(store.find_account, store.holds())
    accounts = {row[0]: Account(*row) for row in state.memory[0]}
    return store, Ledger(accounts.get, state.memory[1])


def _bank_event(event: Event | Message) -> bank_turn.Event:
    match event:
        case Message(_, _, Prepare() as prepare):
            return bank_turn.Received([prepare], [], "stream")
        case Message(_, _, Decide() as decide):
            return bank_turn.Received([], [decide], "stream")
        case _:
            return bank_turn.Opened("stream")


def _read_ledger(before: BankState, ledger: Ledger, store: PlainBankStore) -> BankState:
    accounts = tuple(_rows(ledger, (row[0] for row in store.disk.accounts)))
    holds = tuple(sorted(ledger.holds.values()))
    is_as_on_disk = (accounts, holds) == (store.disk.accounts, store.disk.holds)
    return before._replace(disk=store.disk, memory=None if is_as_on_disk else (accounts, holds))


def _rows(ledger: Ledger, names: Iterable[str]) -> Iterable[tuple[str, str, int, int, int]]:
    for name in names:
        account = ledger.account(name)
        assert account is not None, "what is on disk can be found"
        yield account.name, account.currency, account.posted, account.held, account.incoming
