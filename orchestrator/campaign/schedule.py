"""What is broken when: drawn from a seed, and nothing but data. The same seed and size give the same schedule.

================  =====================================================================
kill              signal 9 to a node
kill-all          signal 9 to all nodes at once
restart           a node is stopped in order and started again
pause             a node is frozen for a time
cut, partition    one direction of a link, or both, carry nothing for a time
delay, drop       a direction is slow, or loses packets, for a time
reset             connections are reset in the middle of what is said, for a time
disk-full         a node's next write to its files fails, as on a full disk
kill-client       signal 9 to a client that pays from its outbox
kill-supervisor   signal 9 to the supervisor, and so to all; then `up`
================  =====================================================================
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

NODE_KINDS = ("kill", "restart", "pause", "disk-full")
LINK_KINDS = ("cut", "partition", "delay", "drop", "reset")
WHOLE_KINDS = ("kill-all", "kill-client", "kill-supervisor")
KINDS = (*NODE_KINDS, *LINK_KINDS, *WHOLE_KINDS)
KILL_KINDS = ("kill", "kill-all", "kill-supervisor", "kill-client")

_QUIET_S = 1.5
"""Before the first fault and after the last, so that the picture has something to compare with."""
_LASTS_S = {"pause": (0.2, 4.0), "disk-full": (0.5, 2.0), "reset": (0.1, 1.0)}
_LINK_LASTS_S = (0.5, 4.0)


class ScheduleUnusable(Exception):
    """A schedule cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """Break ``target`` (a node, or ``A->B``; empty for all) at ``at_s``, for ``lasts_s`` if it lasts."""

    at_s: float
    kind: str
    target: str = ""
    lasts_s: float = 0.0

    def __str__(self) -> str:
        words = [self.kind, self.target, f"for {self.lasts_s:.1f} s" if self.lasts_s else ""]
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Schedule:
    """A campaign's whole plan. ``is_patient``: no step is done before all nodes serve, so it may take longer."""

    seed: int
    for_s: float
    banks: tuple[str, ...]
    steps: tuple[Step, ...]
    is_patient: bool = False


def draw(
    seed: int, for_s: float, banks: Sequence[str], *, kinds: Sequence[str] = KINDS, every_s: float = 3.0
) -> Schedule:
    """Draw a schedule: a step about every ``every_s``; each kind comes once before any comes twice."""
    dice = Random(f"{seed}/{for_s}/{','.join(banks)}/{','.join(kinds)}/{every_s}")
    steps: list[Step] = []
    deck: list[str] = []
    at_s = _QUIET_S
    while at_s < for_s - _QUIET_S:
        deck = deck or dice.sample(kinds, len(kinds))
        steps.append(_draw_step(dice, round(at_s, 2), deck.pop(), banks, for_s - at_s))
        at_s += every_s * dice.uniform(0.5, 1.5)
    return Schedule(seed, for_s, tuple(banks), tuple(steps))


def write(schedule: Schedule) -> str:
    """Return the schedule as JSON for people."""
    return json.dumps(asdict(schedule), indent=1)


def read(text: str) -> Schedule:
    """Return the schedule that `write` wrote, or somebody by hand; raises `ScheduleUnusable`."""
    try:
        fields: dict[str, Any] = json.loads(text)
        steps = tuple(Step(**step) for step in fields["steps"])
        is_patient = bool(fields.get("is_patient"))
        schedule = Schedule(int(fields["seed"]), float(fields["for_s"]), tuple(fields["banks"]), steps, is_patient)
    except (ValueError, TypeError, KeyError) as error:
        raise ScheduleUnusable(f"this is no schedule of a campaign: {error}") from error
    for step in schedule.steps:
        if trouble := _find_trouble(step, schedule.banks):
            raise ScheduleUnusable(f"step {step}: {trouble}")
    return schedule


def _draw_step(dice: Random, at_s: float, kind: str, banks: Sequence[str], left_s: float) -> Step:
    shortest_s, longest_s = _LASTS_S.get(kind, _LINK_LASTS_S if kind in LINK_KINDS else (0.0, 0.0))
    lasts_s = round(min(dice.uniform(shortest_s, longest_s), left_s), 2)
    if kind in NODE_KINDS:
        return Step(at_s, kind, dice.choice(["gateway", *banks]), lasts_s)
    if kind in LINK_KINDS:
        return Step(at_s, kind, "->".join(dice.choice(_directions(banks))), lasts_s)
    return Step(at_s, kind)


def _directions(banks: Iterable[str]) -> list[tuple[str, str]]:
    # The client's link as often as all banks' together would be dull: once each way, as every other.
    pairs = [("client", "gateway"), *(("gateway", bank) for bank in banks)]
    return [*pairs, *((target, source) for source, target in pairs)]


def _find_trouble(step: Step, banks: Sequence[str]) -> str:
    if step.kind not in KINDS:
        return f"there is no kind {step.kind!r}; there are {', '.join(KINDS)}"
    if step.kind in NODE_KINDS and step.target not in ("gateway", *banks):
        return f"there is no node {step.target!r}"
    if step.kind in LINK_KINDS and tuple(step.target.split("->")) not in _directions(banks):
        return f"there is no link {step.target!r}"
    return "" if step.at_s >= 0 and step.lasts_s >= 0 else "times must not be below 0"
