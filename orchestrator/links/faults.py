"""Faults of the links between nodes: what each does to bytes, and for how long. Rules alone: no clock, no dice.

A fault has a direction: ``cut HDFC->gateway`` keeps what HDFC sends from the gateway,
on every connection between the two, whoever opened it and whenever. As on a real
network, TCP loses nothing: what is kept back arrives, in order, when the fault heals.

    =============  =====================================================================
    delay          bytes arrive later, by ``delay_s`` and at random up to ``jitter_s``
    drop           each packet is lost with the chance ``loss``; sent again after 200 ms,
                   then twice that, as TCP does
    limit          no more than ``bytes_per_s`` pass
    cut            nothing passes; neither does a new connection, nor the end of one
    partition      the same, both ways
    reset          the next bytes pass by half, then both ends see the connection reset
    =============  =====================================================================

A fault is leased: it ends when its time is over, when it is healed, or when its owner
goes, whichever comes first. So no fault outlives who injected it.

Source: tc-netem(8) for the kinds; RFC 6298 for the time to send again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import inf
from typing import Any, Self

ANY = "*"
LASTS_MAX_S = 24 * 3600.0
_SENT_AGAIN_AFTER_S = 0.2
_LOST_IN_A_ROW_MAX = 6


class Kind(StrEnum):
    """What a fault does; see the table above."""

    DELAY = "delay"
    DROP = "drop"
    LIMIT = "limit"
    CUT = "cut"
    PARTITION = "partition"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of what ``source`` sends to ``target``; either may be `ANY`. ``ends_at_s``: on a steady clock."""

    id: str
    kind: Kind
    source: str
    target: str
    ends_at_s: float
    owner: str = ""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_per_s: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Whether its names are names and its amounts amounts."""
        names = (self.id, self.source, self.target, self.owner)
        amounts = (self.delay_s, self.jitter_s, self.bytes_per_s, self.loss)
        are_amounts = all(isinstance(amount, int | float) and 0 <= amount < inf for amount in amounts)
        return all(isinstance(name, str) for name in names) and are_amounts and self.loss <= 1

    def touches(self, source: str, target: str) -> bool:
        """Tell whether it concerns what ``source`` sends to ``target``."""
        is_so = self.source in (ANY, source) and self.target in (ANY, target)
        is_reverse = self.source in (ANY, target) and self.target in (ANY, source)
        return is_so or (self.kind is Kind.PARTITION and is_reverse)

    def __str__(self) -> str:
        words = [self.kind.value, f"{self.source}->{self.target}"]
        if self.kind is Kind.DELAY:
            words.append(f"by {self.delay_s * 1000:.0f} ms" + self._describe_jitter())
        if self.kind is Kind.DROP:
            words.append(f"{self.loss:.0%}")
        if self.kind is Kind.LIMIT:
            words.append(f"to {self.bytes_per_s / 1024:.0f} KiB/s")
        return " ".join(words)

    def write(self, now_s: float) -> dict[str, Any]:
        """Return it as JSON, with the seconds that are left in place of a time on this process's clock."""
        fields = asdict(self)
        fields["left_s"] = round(max(0.0, fields.pop("ends_at_s") - now_s), 3)
        return {**fields, "text": str(self)}

    @classmethod
    def read(cls, fields: Mapping[str, Any], now_s: float) -> Self:
        """Return the fault that `write` wrote; raises ValueError for what is none."""
        known = {name: value for name, value in fields.items() if name not in ("left_s", "text")}
        try:
            known["kind"] = Kind(known["kind"])
            return cls(**known, ends_at_s=now_s + float(fields["left_s"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a fault: {error}") from error

    def _describe_jitter(self) -> str:
        return f" and up to {self.jitter_s * 1000:.0f} ms more" if self.jitter_s else ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What all faults together do to one direction."""

    is_cut: bool = False
    is_reset: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_per_s: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether bytes pass as if there were no proxy."""
        return self == NO_EFFECT

    def wait_s(self, roll: Callable[[], float]) -> float:
        """Return how long a packet is under way; ``roll`` gives a fraction of 0 to 1 each time."""
        wait_s = self.delay_s + (self.jitter_s * roll() if self.jitter_s else 0.0)
        again_s = _SENT_AGAIN_AFTER_S
        for _ in range(_LOST_IN_A_ROW_MAX if self.loss else 0):
            if roll() >= self.loss:
                break
            wait_s, again_s = wait_s + again_s, 2 * again_s
        return wait_s


NO_EFFECT = Effect()


def combine(faults: Iterable[Fault], source: str, target: str) -> Effect:
    """Return what the faults do to what ``source`` sends to ``target``."""
    found = [fault for fault in faults if fault.touches(source, target)]
    if not found:
        return NO_EFFECT
    kinds = {fault.kind for fault in found}
    passed = 1.0
    for fault in found:
        passed *= 1.0 - fault.loss
    return Effect(
        is_cut=bool(kinds & {Kind.CUT, Kind.PARTITION}),
        is_reset=Kind.RESET in kinds,
        delay_s=sum(fault.delay_s for fault in found),
        jitter_s=sum(fault.jitter_s for fault in found),
        loss=1.0 - passed,
        bytes_per_s=min((fault.bytes_per_s for fault in found if fault.bytes_per_s), default=0.0),
    )


class Leases:
    """The faults that are active, each until its time is over or somebody ends it."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._granted = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._faults.values()))

    def grant(self, fields: Mapping[str, Any], now_s: float) -> Fault:
        """Make a fault of what was asked for (`Fault.write` without the id); raises ValueError."""
        fault = Fault.read({**fields, "id": f"f{self._granted + 1}"}, now_s)
        if not (fault.is_sound and 0 < fault.ends_at_s - now_s <= LASTS_MAX_S):
            raise ValueError(f"not a fault that can be: {dict(fields)}")
        self._granted += 1
        self._faults[fault.id] = fault
        return fault

    def heal(self, fault_id: str) -> list[Fault]:
        """End one fault, or all for `ANY`; return those that ended: none if there was none."""
        wanted = list(self._faults) if fault_id == ANY else [fault_id]
        return [self._faults.pop(each) for each in wanted if each in self._faults]

    def expire(self, now_s: float) -> list[Fault]:
        """End those whose time is over; return them."""
        over = [fault.id for fault in self._faults.values() if fault.ends_at_s <= now_s]
        return [self._faults.pop(each) for each in over]

    def next_end_s(self) -> float | None:
        """Return when the next one's time is over."""
        return min((fault.ends_at_s for fault in self._faults.values()), default=None)
