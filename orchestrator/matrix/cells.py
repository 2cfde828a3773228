"""The cells of the matrix: which process crashes at which point, how, and at which time that it comes there."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.chaos.crash_registry import POINTS, Point, Provocation, Store
from orchestrator.chaos.crashing import Crash, processes_of
from orchestrator.layout.config import ClusterConfig

SHELL = "shell"
_HIT_MAX = 12
_ACTIONS = {Store.NONE: ("kill",), Store.WRITING: ("kill", "full"), Store.COMMITTED: ("kill", "commit-then-error")}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one cell; ``recovered_after_s`` is None if it did not recover, or was never hit."""

    crash: Crash
    is_hit: bool
    recovered_after_s: float | None
    money: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    failure: str = ""
    """Why it could not be judged."""

    @property
    def is_good(self) -> bool:
        """Whether the crash happened and all is well after it."""
        return self.is_hit and self.recovered_after_s is not None and not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """All that is wrong, a line each."""
        missed = () if self.is_hit else (f"was not reached: {self.crash.point.provoked_by}",)
        return (*missed, *self.money, *self.in_doubt, *self.told, *([self.failure] if self.failure else []))


def is_any_point(patterns: Sequence[str]) -> bool:
    """Tell whether there is a point that matches."""
    return any(_is_meant(point, patterns) for point in POINTS)


def make_cells(config: ClusterConfig, patterns: Sequence[str], seed: int, *, every_bank: bool) -> Iterator[Crash]:
    """Yield crashes at each point that matches: of every process, or of several banks of one drawn by lot."""
    lot = random.Random(seed)  # noqa: S311 - a lot, not a secret
    for point in POINTS:
        processes = processes_of(point, config)
        if point.process == "bank" and not every_bank:
            processes = (lot.choice(processes),)
        elif len(processes) > len(config.banks) and not every_bank:
            bank = lot.choice(list(config.banks))
            processes = tuple(process for process in processes if process == bank or process not in config.banks)
        for process in processes:
            for action in (*_ACTIONS[point.store], *(("kill-twice",) if point.is_of_start else ())):
                is_often = point.provoked_by is Provocation.LOAD and process != SHELL
                hit = lot.randint(1, _HIT_MAX) if is_often else 1
                if _is_meant(point, patterns):
                    yield Crash(process, point, action, hit)


def _is_meant(point: Point, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(point.name, pattern) for pattern in patterns)


def is_on_fresh_ground(point: Point) -> bool:
    """Tell whether a crash there is of a cluster that begins or ends, with nobody paying."""
    return point.provoked_by in (Provocation.FIRST_START, Provocation.WIPE)


def provocation_of(crash: Crash) -> Provocation:
    """Return what brings a process to its point: where a node comes by its life, a shell comes by paying."""
    is_of_store = crash.process == SHELL and crash.point.process == "store"
    return Provocation.SHELL if is_of_store else crash.point.provoked_by
