"""How many calls a node carries at once, and that no one certificate takes them all.

What is beyond is refused at once with a hint when to try again: a queue would only make
everyone wait. One certificate gets half of the room at most, so that a client gone
wild leaves the other half to all others. Who is refused again and again, for want of room or of a login, is told
so only a moment later: until then the call takes one of the places of its connection, so nobody can
have calls refused as fast as they are made.
"""

from collections import Counter
from collections.abc import Callable

import grpc

from nodes.runtime.debts import Debts
from nodes.runtime.refusal import RequestRefused

UNARY_CALLS_MAX = 2000
STREAMS_MAX = 256
_RETRY_AFTER_S = 0.5
_REFUSED_AT_ONCE = 200.0
_FORGIVEN_EACH_S = 50.0
_REFUSED_MAX = 1000


class Capacity:
    """The places of one kind of call, such as ``streams``. For one event loop."""

    def __init__(self, kind: str, places: int) -> None:
        self._kind = kind
        self._places = places
        self._places_each = max(1, places // 2)
        self._taken = 0
        self._taken_by: Counter[str] = Counter()

    def demand_room(self) -> None:
        """Raise `RequestRefused` if all places are taken: cheap, before anything is known of the caller."""
        if self._taken >= self._places:
            raise _refuse(f"this node has too many {self._kind} under way; try again later")

    def take(self, thumbprint: str) -> None:
        """Take a place for the certificate of ``thumbprint``.

        Raises `RequestRefused` if all places are taken, or it has its share.
        """
        self.demand_room()
        taken = self._taken_by[thumbprint]
        if taken >= self._places_each:
            raise _refuse(f"this certificate has too many {self._kind} under way; try again later")
        self._taken += 1
        self._taken_by[thumbprint] = taken + 1

    def give_back(self, thumbprint: str) -> None:
        """Give back one of the places that the certificate of ``thumbprint`` has taken."""
        self._taken -= 1
        self._taken_by[thumbprint] -= 1
        if not self._taken_by[thumbprint]:
            del self._taken_by[thumbprint]


class Refusals:
    """Who has been refused how often lately; ``clock`` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._refused = Debts(clock, debtors_max=_REFUSED_MAX)

    def are_told_late(self, thumbprint: str) -> bool:
        """Note that a certificate is refused; tell whether it is so often that it must wait for the words."""
        refused = self._refused.charge(thumbprint, melts_each_s=_FORGIVEN_EACH_S)
        self._refused.keep(thumbprint, min(refused, 2 * _REFUSED_AT_ONCE))
        return refused > _REFUSED_AT_ONCE


def _refuse(said: str) -> RequestRefused:
    return RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=_RETRY_AFTER_S)
