"""How many calls one certificate may waste: open and take back, which costs a node more than whoever does it.

Each call that its caller takes back is owed for, and what is owed melts away with time. Whoever owes too
much is cut off for a while: nothing else stops a program that opens and resets calls as
fast as it can (CVE-2023-44487), since all others wait behind what it leaves in the queue.

It is far more than an honest program comes to: one that ends with all calls under way that a certificate
may have, one whose calls all time out again and again, and one that has tried for a quarter of
a minute to reach a node that stood still.
"""

from collections.abc import Callable

from nodes.runtime.debts import Debts

CUT_OFF_S = 30.0
_OWED_MAX = 3000.0
_MELTS_EACH_S = 200.0
_DEBTORS_MAX = 1000
_UNASKED_MAX = 200.0
_MADE_UP_FOR = 1.1
_RINGS_S = 5.0


class WastedCalls:
    """What is owed by whom, and who is cut off. ``clock`` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._owed = Debts(clock, debtors_max=_DEBTORS_MAX)
        self._cut_off_until: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Tell whether anybody is cut off, or was until lately."""
        return bool(self._cut_off_until)

    def charge(self, thumbprint: str) -> bool:
        """Note one wasted call of a certificate; tell whether it is cut off by this."""
        owed = self._owed.charge(thumbprint, melts_each_s=_MELTS_EACH_S)
        if owed <= _OWED_MAX:
            self._owed.keep(thumbprint, owed)
            return False
        was_cut_off = self.is_cut_off(thumbprint)
        self._cut_off_until[thumbprint] = self._clock() + CUT_OFF_S
        return not was_cut_off

    def is_cut_off(self, thumbprint: str) -> bool:
        """Tell whether a certificate is to be turned away."""
        until = self._cut_off_until.get(thumbprint)
        if until is None:
            return False
        if until <= self._clock():
            del self._cut_off_until[thumbprint]
            return False
        return True


class UnaskedAlarm:
    """Whether so many calls are opened without a request that it pays to look at who opens each.

    Who calls is known to gRPC for Python only once a method has been begun, and a method with one request is begun
    when that has come. Each call that was asked makes up for itself, and for a little more.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._unasked = 0.0
        self._rings_until = 0.0

    def opened(self) -> bool:
        """Note that a call was opened; tell whether the alarm rings."""
        self._unasked += 1
        if self._unasked < _UNASKED_MAX and not self._rings_until:
            return False
        now = self._clock()
        if self._unasked >= _UNASKED_MAX:
            self._unasked, self._rings_until = 0.0, now + _RINGS_S
        elif self._rings_until <= now:
            self._rings_until = 0.0
        return self._rings_until > 0

    def asked(self) -> None:
        """Note that a call has said what it asks."""
        self._unasked = max(0.0, self._unasked - _MADE_UP_FOR)
