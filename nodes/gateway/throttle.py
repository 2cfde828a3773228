"""How many wrong passwords are borne, so that guessing is slow and nobody else waits for it.

Each attempt is paid for before the password is looked at, so that a thousand at once
are counted too, and given back when the password was right. What is owed melts away
with time. Three debts bound an attempt:

- of this user from this certificate, the tightest: a guesser is stopped here, and the
  user on another certificate is not;
- of this certificate, whatever the user: nobody tries one password on all users;
- of this user from all certificates together, the loosest: many certificates guessing
  at one user at once can make that user wait, by seconds.

Users who do not exist are counted as the others are, so the bounds tell nothing.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from nodes.runtime.refusal import RequestRefused


@dataclass(frozen=True, slots=True)
class Bound:
    """So many failures at once, and one more each ``melts_s`` seconds."""

    failures_max: int
    melts_s: float


PAIR = Bound(10, 15.0)
CERTIFICATE = Bound(24, 2.0)
USER = Bound(50, 2.0)

_DEBTS_MAX = 10_000
"""Debts that are remembered. A certificate adds one each 2 s at most, so it would take 80 certificates to
push out a debt before it has melted."""

_Key = tuple[str, str]


class Throttle:
    """What is owed by whom. ``clock`` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._debts: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._debts)

    def charge(self, user: str, thumbprint: str) -> None:
        """Count one attempt; raises `RequestRefused` (RESOURCE_EXHAUSTED) instead if a bound is met."""
        now = self._clock()
        bounds = _bounds(user, thumbprint)
        wait_s = max(
            (self._debt(key, bound, now) + 1 - bound.failures_max) * bound.melts_s for key, bound in bounds
        )
        if wait_s > 0:
            said = f"too many wrong passwords: try again in {math.ceil(wait_s)} s"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=wait_s)
        self._add(bounds, 1, now)

    def give_back(self, user: str, thumbprint: str) -> None:
        """Take back the count of an attempt whose password was right."""
        self._add(_bounds(user, thumbprint), -1, self._clock())

    def _debt(self, key: _Key, bound: Bound, now: float) -> float:
        debt, at = self._debts.get(key, (0.0, now))
        return max(0.0, debt - (now - at) / bound.melts_s)

    def _add(self, bounds: list[tuple[_Key, Bound]], failures: int, now: float) -> None:
        for key, bound in bounds:
            debt = self._debt(key, bound, now) + failures
            self._debts.pop(key, None)
            if debt > 0:
                self._debts[key] = debt, now
        while len(self._debts) > _DEBTS_MAX:
            self._debts.popitem(last=False)


def _bounds(user: str, thumbprint: str) -> list[tuple[_Key, Bound]]:
    return [((user, thumbprint), PAIR), (("", thumbprint), CERTIFICATE), ((user, ""), USER)]
