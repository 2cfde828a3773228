"""Between the processes: a bag of messages, out of which any may come next, twice, or never."""

from random import Random
from typing import Any, NamedTuple

_CALLS = ("pay", "look", "answer")
_ON_STREAMS = ("open", "receive", "hear_opening", "hear")


class Message(NamedTuple):
    """Something on its way. ``kind`` names the method of the receiver that takes it."""

    sender: str
    to: str
    kind: str
    body: Any


class Network:
    """All that is on its way.

    ``lose`` and ``double`` are chances for each message; the larger ``rush``, the longer
    old messages lie about while newer ones overtake them. Messages of a node that is cut
    off wait. ``delivered`` is what nodes have said to each other so far; it may come again.

    If ``is_orderly``, a stream is what TCP makes of it: what is said on it comes once and in order, until
    it breaks. Only there cuts can be taken.
    """

    def __init__(self, random: Random) -> None:
        self.bag: list[Message] = []
        self.delivered: list[Message] = []
        self.lose = self.double = 0.0
        self.rush = 1
        self.is_orderly = random.choice([True, False, False, False])
        self.cut: set[str] = set()
        self._random = random

    def send(self, sender: str, to: str, kind: str, body: Any) -> None:
        """Put a message on its way."""
        self.bag.append(Message(sender, to, kind, body))

    def take_any(self) -> Message | None:
        """Return a message that arrives now, if one does; it may stay in the bag, to come again."""
        if not self.bag:
            return None
        at = max(self._random.randrange(len(self.bag)) for _ in range(self.rush))
        message = self.bag[at]
        if self._is_in_order(message):
            at = self._first_before(message)
            message = self.bag[at]
        if self.is_held_up(message):
            return None
        fate = self._random.random()
        if self._is_in_order(message):
            self._depart(at)
            return message
        # A call is carried once: gRPC repeats none by itself. Who wants it twice sends it twice.
        if fate >= self.double or message.kind in _CALLS:
            self._depart(at)
        return message if fate < 1 - self.lose else None

    def take(self, message: Message) -> bool:
        """Let a certain message arrive now, if it is still on its way and nothing holds it up."""
        if message not in self.bag or self.is_held_up(message):
            return False
        at = self.bag.index(message)
        if self._is_in_order(message) and self._first_before(message) != at:
            return False
        self._depart(at)
        return True

    def _depart(self, at: int) -> None:
        message = self.bag.pop(at)
        if message.kind not in _CALLS and message.kind != "open" and not self._is_in_order(message):
            self.delivered.append(message)

    def _is_in_order(self, message: Message) -> bool:
        return self.is_orderly and message.kind in _ON_STREAMS

    def _first_before(self, message: Message) -> int:
        """Return where the oldest message lies that is on its way on the same stream."""
        return next(
            at for at, other in enumerate(self.bag) if other[:2] == message[:2] and other.kind in _ON_STREAMS
        )

    def is_held_up(self, message: Message) -> bool:
        """Tell whether a message has to wait until a node's line is whole again."""
        return message.to in self.cut or message.sender in self.cut

    def take_oldest(self) -> Message | None:
        """Return the oldest message, as a network without faults would."""
        return self.bag.pop(0) if self.bag else None

    def drop(self, one: str, other: str) -> None:
        """Lose all that is on its way between two nodes: their connection broke."""
        self.bag = [message for message in self.bag if {message.sender, message.to} != {one, other}]

    def lose_calls(self) -> None:
        """Lose what clients have asked: no connection keeps bytes for so long (`nodes.client.outbox`)."""
        self.bag = [message for message in self.bag if message.kind not in _CALLS]

    def calm_down(self) -> None:
        """Lose, double, hold up and shuffle no more."""
        self.lose = self.double = 0.0
        self.rush = 1
        self.cut.clear()
