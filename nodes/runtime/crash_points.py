"""Named places where a test makes this process die, fail or dawdle, between any two steps that matter.

`reach` does nothing unless this process was told at its start, by `obey`, which file its
orders come in: nodes by the flag --crash-points, which only a cluster with the profile
test gives them. Nothing in the environment can do that, and nothing over the wire.

An order is a small file. It strikes once (or twice, if it says so: this process, and the next of
its name): whoever carries it out takes the file away
first, so an order never strikes again, however the process ends; and it lapses
at a time that is written in it, so one that was forgotten strikes nobody later. The
points and what each is about are listed in `orchestrator.chaos.crash_registry`.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_STRUCK = ".struck"


class CrashPointReached(Exception):
    """What the action ``raise`` raises."""


@dataclass(frozen=True, slots=True)
class Order:
    """Do ``action`` when a process comes to ``point`` for the ``hit``-th time, until ``until_s`` (since 1970)."""

    number: str
    """Tells this order from any other: hits are counted anew for each, and for each process."""
    point: str
    action: str
    hit: int
    until_s: float
    sleep_s: float = 0.0


def give_order(path: Path, order: Order) -> None:
    """Give the processes that obey ``path`` this order in place of any other."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.with_suffix(_STRUCK).unlink(missing_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(order)))
    beside.replace(path)


def take_back(path: Path) -> None:
    """Leave no order, and no trace of one that was carried out."""
    path.unlink(missing_ok=True)
    path.with_suffix(_STRUCK).unlink(missing_ok=True)


def struck_at_s(path: Path) -> float | None:
    """Return when the last order was carried out, in seconds since 1970; None if it was not."""
    try:
        # Its name was changed then, and nothing else since.
        return path.with_suffix(_STRUCK).stat().st_ctime
    except FileNotFoundError:
        return None


def obey(path: Path | None) -> None:
    """Take orders from ``path`` from now on; from nowhere if it is None."""
    global _look  # noqa: PLW0603 - one process, one source of orders
    _look = None if path is None else _Obeyed(path).look


def reach(point: str) -> None:
    """Say that the process has come to ``point``."""
    if _look is not None:
        _look(point)


_look: Callable[[str], None] | None = None


class _Obeyed:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = ""
        self._hits = 0

    def look(self, point: str) -> None:
        try:
            order = Order(**json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return
        if order.point != point or time.time() > order.until_s:
            return
        if order.number != self._number:
            self._number, self._hits = order.number, 0
        self._hits += 1
        if self._hits < order.hit:
            return
        if order.action == "kill-twice":
            # The next process of this name dies here as well, when it comes.
            give_order(self._path, replace(order, action="kill", hit=1))
            _kill(order)
        if self._claim():
            _ACTIONS[order.action](order)

    def _claim(self) -> bool:
        try:
            self._path.rename(self._path.with_suffix(_STRUCK))
        except FileNotFoundError:
            return False  # another process of the same name was there first
        return True


def _kill(_: Order) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(order: Order) -> None:
    raise CrashPointReached(order.point)


def _sleep(order: Order) -> None:
    time.sleep(order.sleep_s)


def _full(order: Order) -> None:
    import apsw  # noqa: PLC0415 - the supervisor has no database

    raise apsw.FullError(f"database or disk is full, at {order.point}")


def _io_error(order: Order) -> None:
    import apsw  # noqa: PLC0415 - the supervisor has no database

    raise apsw.IOError(f"disk I/O error, at {order.point}")


_ACTIONS: dict[str, Callable[[Order], None]] = {
    "kill": _kill,
    "raise": _raise,
    "sleep": _sleep,
    "full": _full,
    "io-error": _io_error,
    # The same error where the commit has been made: the caller cannot know.
    "commit-then-error": _io_error,
}
"""What can be ordered. The last three only where a store writes."""
