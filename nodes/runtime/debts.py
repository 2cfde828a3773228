"""What is owed by whom, and melts away with time: a leaky bucket for each debtor."""

from collections.abc import Callable


class Debts:
    """Of more than ``debtors_max``, who has come to owe more longest ago is forgotten. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], *, debtors_max: int) -> None:
        self._clock = clock
        self._debtors_max = debtors_max
        self._owed: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._owed)

    def charge(self, debtor: str, *, melts_each_s: float) -> float:
        """Return what is owed after what has melted, with one more; it is forgotten unless it is kept."""
        now = self._clock()
        owed, at = self._owed.pop(debtor, (0.0, now))
        return max(0.0, owed - (now - at) * melts_each_s) + 1

    def keep(self, debtor: str, owed: float) -> None:
        """Remember what is owed from now on."""
        self._owed.pop(debtor, None)
        self._owed[debtor] = owed, self._clock()
        if len(self._owed) > self._debtors_max:
            del self._owed[next(iter(self._owed))]
