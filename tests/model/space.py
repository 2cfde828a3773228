"""All that can happen, breadth first: states of the small cluster, and what leads from one to the next.

A state of the whole is the gateway's, each bank's, and the set of all that was ever said.
A message in that set may arrive now, again, later, or never: so loss, doubling, delay
and reordering need no steps of their own, and neither has the death of a node between
two words, which is as if the words were lost. States and messages are numbered as they
are first met; a state of the whole is one integer.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nodes.core.messages import Payment, Vote
from tests.model.nodes import (
    GATEWAY,
    BankState,
    Event,
    GatewayState,
    Message,
    start_gateway,
    turn_bank,
    turn_gateway,
)
from tests.model.stores import BankDisk, GatewayDisk

BANKS = ("HDFC", "ICICI")
_OPENING_MINOR = 100
_BITS = 20
_MASK = (1 << _BITS) - 1


class Bounds(NamedTuple):
    """How often something may happen at most; None: as often as it likes.

    ``epochs``: starts of the gateway. Of each bank ``streams``, that it opens, and ``inquiries``,
    each about one transaction. Nothing else has a bound: messages are lost, doubled, delayed and reordered,
    streams break, deadlines come, clients ask again and banks die at will.
    """

    epochs: int
    streams: int | None = None
    inquiries: int | None = None

    def __str__(self) -> str:
        def say(bound: int | None) -> str:
            return "any number of" if bound is None else str(bound)

        return (
            f"{self.epochs} epochs, {say(self.streams)} streams and {say(self.inquiries)} inquiries of each bank"
        )


class Cluster(NamedTuple):
    """The small case: which payments are wanted, and how often the gateway may die."""

    payments: tuple[Payment, ...]
    bounds: Bounds


def small_cluster(payments: int, bounds: Bounds) -> Cluster:
    """Up to two payments of one account that has enough for one of them."""
    wanted = tuple(
        Payment(bytes([number]) * 16, "alice", "HDFC", "bob", "ICICI", 60, "INR", "")
        for number in range(1, payments + 1)
    )
    return Cluster(wanted, bounds)


class Step(NamedTuple):
    """What happens, to whom, and the state of the whole that it leads to."""

    node: str
    event: Event | Message
    after: int


class WentWrong(Exception):
    """The rules failed, or met what must never be, when ``event`` happened to ``node``."""

    def __init__(self, node: str, event: Event | Message, what: str) -> None:
        super().__init__(what)
        self.node, self.event, self.what = node, event, what


class Space:
    """The states that were met, by number, and the way from each to the next."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.messages: list[Message] = []
        self.states: list[GatewayState | BankState] = []
        self._message_numbers: dict[Message, int] = {}
        self._state_numbers: dict[GatewayState | BankState, int] = {}
        self._after: dict[tuple[int, Event | int], tuple[int, int]] = {}
        self._events: dict[int, list[Event]] = {}
        self._heard_by: dict[str, int] = dict.fromkeys((GATEWAY, *BANKS), 0)
        self._votes_of: dict[str, int] = dict.fromkeys(BANKS, 0)

    def first(self) -> int:
        """Return the state in which everything begins."""
        numbers = [self._number(start_gateway(GatewayDisk(), frozenset()))]
        for bank, user in zip(BANKS, ("alice", "bob"), strict=True):
            accounts = ("@paid-in/INR", "INR", -_OPENING_MINOR, 0, 0), (user, "INR", _OPENING_MINOR, 0, 0)
            numbers.append(self._number(BankState(bank, BankDisk(accounts), None)))
        return _join(numbers, 0)

    def split(self, whole: int) -> tuple[GatewayState, BankState, BankState]:
        """Return the states of the nodes."""
        gateway, *banks = (self.states[number] for number in _numbers(whole))
        assert isinstance(gateway, GatewayState)
        first, second = banks
        assert isinstance(first, BankState)
        assert isinstance(second, BankState)
        return gateway, first, second

    @staticmethod
    def nodes_of(whole: int) -> int:
        """Return a number for the states of the nodes alone, whatever was said."""
        return whole & ((1 << 3 * _BITS) - 1)

    def votes_of(self, whole: int) -> Iterator[tuple[BankState, int, int]]:
        """Yield each bank's state, its number, and the votes that it has said, as bits."""
        for bank, number in zip(BANKS, _numbers(whole)[1:], strict=True):
            state = self.states[number]
            assert isinstance(state, BankState)
            yield state, number, whole >> (3 * _BITS) & self._votes_of[bank]

    def messages_of(self, said: int) -> list[Message]:
        """Return messages, given as bits."""
        return [self.messages[number] for number in _bits(said)]

    def let_happen(self, whole: int, node: str, event: Event | Message) -> tuple[int, list[Message]]:
        """Return the state of the whole after something has happened to a node, and what the node says."""
        place = (GATEWAY, *BANKS).index(node)
        what = self._number_message(event) if isinstance(event, Message) else event
        after, words = self._turn(node, _numbers(whole)[place], what)
        return _replace(whole, _BITS * (2 - place), after) | words << (3 * _BITS), self.messages_of(words)

    def steps(self, whole: int) -> Iterator[Step]:
        """Yield each thing that can happen and changes something. Raises what the rules raise."""
        numbers, said = _numbers(whole), whole >> (3 * _BITS)
        for place, node in enumerate((GATEWAY, *BANKS)):
            number = numbers[place]
            shift = _BITS * (2 - place)
            for event in self._events_of(number):
                after, words = self._turn(node, number, event)
                if after != number or words & ~said:
                    yield Step(node, event, _replace(whole, shift, after) | words << (3 * _BITS))
            for message in _bits(said & self._heard_by[node]):
                after, words = self._turn(node, number, message)
                if after != number or words & ~said:
                    yield Step(node, self.messages[message], _replace(whole, shift, after) | words << (3 * _BITS))

    def _events_of(self, number: int) -> list[Event]:
        events = self._events.get(number)
        if events is None:
            state = self.states[number]
            events = self._events[number] = list(
                self._gateway_events(state) if isinstance(state, GatewayState) else self._bank_events(state)
            )
        return events

    def _gateway_events(self, state: GatewayState) -> Iterator[Event]:
        for payment in self.cluster.payments:
            yield Event("begin", payment)
        if state.open:
            yield Event("deadline")
        for bank in state.connected:
            yield Event("disconnect", bank)
        if state.disk.epoch < self.cluster.bounds.epochs:
            yield Event("restart")

    def _bank_events(self, state: BankState) -> Iterator[Event]:
        _, streams, inquiries = self.cluster.bounds
        opened, asked = state.done
        if streams is None or opened < streams:
            yield Event("open")
        if state.disk.holds and (inquiries is None or asked < inquiries):
            yield Event("ask")
        if state.memory is not None:
            yield Event("restart")

    def _turn(self, node: str, number: int, event: Event | int) -> tuple[int, int]:
        """Return (the node's next state, what is said as bits), worked out once."""
        known = self._after.get((number, event))
        if known is None:
            state = self.states[number]
            happens = self.messages[event] if isinstance(event, int) else event
            after: GatewayState | BankState
            try:
                if isinstance(state, GatewayState):
                    after, said = turn_gateway(state, happens, BANKS)
                else:
                    after, said = turn_bank(state, happens)
                    after = after._replace(done=self._count(after.done, event))
            except Exception as error:  # whatever the rules do wrong is a finding
                raise WentWrong(node, happens, f"{type(error).__name__}: {error}") from error
            words = sum({1 << self._number_message(message) for message in said})
            known = self._after[number, event] = self._number(after), words
        return known

    def _count(self, done: tuple[int, int], event: Event | int) -> tuple[int, int]:
        """Count what is bounded, up to its bound: what is played out to its end may go on."""
        _, streams, inquiries = self.cluster.bounds
        what = event.what if isinstance(event, Event) else ""
        opened, asked = done
        return (
            min(opened + (what == "open"), streams or 0),
            min(asked + (what == "ask"), inquiries or 0),
        )

    def _number(self, state: GatewayState | BankState) -> int:
        number = self._state_numbers.get(state)
        if number is None:
            number = self._state_numbers[state] = len(self.states)
            self.states.append(state)
            assert number <= _MASK, "more states of nodes than their numbers have room for"
        return number

    def _number_message(self, message: Message) -> int:
        number = self._message_numbers.get(message)
        if number is None:
            number = self._message_numbers[message] = len(self.messages)
            self.messages.append(message)
            self._heard_by[message.to] |= 1 << number
            if isinstance(message.content, Vote):
                self._votes_of[message.sender] |= 1 << number
        return number


def _join(numbers: list[int], said: int) -> int:
    whole = said
    for number in numbers:
        whole = whole << _BITS | number
    return whole


def _numbers(whole: int) -> tuple[int, int, int]:
    return whole >> (2 * _BITS) & _MASK, whole >> _BITS & _MASK, whole & _MASK


def _replace(whole: int, shift: int, number: int) -> int:
    return whole & ~(_MASK << shift) | number << shift


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
