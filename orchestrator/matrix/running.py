"""Goes through the cells: orders each crash, brings it about, sees the cluster come back, judges."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from nodes.client import ClientError, PaymentRequest, new_payment_id
from nodes.runtime.crash_points import struck_at_s
from nodes.runtime.database import DatabaseUnusable
from nodes.runtime.tls import CertificateUnusable
from orchestrator.chaos.crashing import Crash, Crashing
from orchestrator.lifecycle.starting import NotInTime
from orchestrator.matrix.cells import SHELL, Row, is_on_fresh_ground, provocation_of
from orchestrator.matrix.ground import BANKS, PAYERS, CommandFailed, Ground
from orchestrator.matrix.judging import (
    audit_files,
    find_lies,
    find_lingering,
    find_money_faults,
    find_shell_faults,
)
from orchestrator.matrix.load import Load, NotSettled, Told
from orchestrator.matrix.provocations import Scene, provoke
from orchestrator.supervision.control import Refused, SupervisorAway, SupervisorSilent

_HIT_WITHIN_S = 12.0
_ORDER_LAPSES_S = 120.0
_PAYS_WITHIN_S = 20.0
_POLL_S = 0.01
_SETTLED_S = 0.3
_FAILURES = (
    CommandFailed,
    NotInTime,
    NotSettled,
    ClientError,
    SupervisorAway,
    SupervisorSilent,
    Refused,
    CertificateUnusable,
    DatabaseUnusable,
)
"""What the cell is to blame for: it is told in its row, and the next cell is tried."""


class Matrix:
    """One run. ``tell`` is given each row as it comes."""

    def __init__(self, main: Ground, fresh: Ground, tell: Callable[[Row], None]) -> None:
        self._main = main
        self._fresh = fresh
        self._tell = tell
        self._load: Load | None = None
        self._judged = 0
        self._number = 0

    def run(self, crashes: Iterable[Crash]) -> tuple[list[Row], list[str]]:
        """Return the rows, and what the audit of all files found at the end."""
        rows = []
        try:
            for crash in crashes:
                self._number += 1
                row = self._run_fresh(crash) if is_on_fresh_ground(crash.point) else self._run_loaded(crash)
                rows.append(row)
                self._tell(row)
            return rows, self._audit()
        finally:
            if self._load is not None:
                self._load.stop()

    @property
    def told_count(self) -> int:
        """How many outcomes callers were told."""
        return len(self._load.told) if self._load is not None else 0

    # -- a cell ---------------------------------------------------------------------

    def _run_loaded(self, crash: Crash) -> Row:
        strike = None
        try:
            load = self._start_load()
            load.resume()
            strike = self._strike(self._main, crash)
            self._main.bring_back()
            if strike.at_s is None:
                return Row(crash, False, None)
            back_at_s = self._wait_back(load, crash, strike)
            load.pause()
            return self._judge(load, crash, strike, back_at_s - strike.at_s)
        except _FAILURES as error:
            return Row(crash, _has_struck(strike), None, failure=_describe(error))

    def _run_fresh(self, crash: Crash) -> Row:
        strike = None
        try:
            strike = self._strike(self._fresh, crash)
            self._fresh.bring_back()
            self._pay_once()
            after_s = time.time() - strike.at_s if strike.at_s is not None else None
            return Row(crash, _has_struck(strike), after_s, tuple(find_money_faults(self._fresh, 1)))
        except _FAILURES as error:
            return Row(crash, _has_struck(strike), None, failure=_describe(error))

    def _strike(self, ground: Ground, crash: Crash) -> "_Strike":
        crashing = Crashing(ground.config, ground.folder)
        path = ground.folder.crash_order(crash.process)
        scene = Scene(ground, crash.process, lambda: struck_at_s(path) is not None, f"matrix {self._number}")
        steps = provoke(provocation_of(crash), scene)
        next(steps)
        starts = _count_starts(ground, crash.process)
        with crashing.ordered(crash, _ORDER_LAPSES_S):
            with suppress(*_FAILURES):
                next(steps, None)
            ends_s = time.monotonic() + _HIT_WITHIN_S
            while (at_s := struck_at_s(path)) is None and time.monotonic() < ends_s:
                time.sleep(_POLL_S)
        next(steps, None)
        time.sleep(_SETTLED_S)  # what dies takes its children with it in this time
        return _Strike(at_s, starts, scene)

    def _wait_back(self, load: Load, crash: Crash, strike: "_Strike") -> float:
        """Return when all went on as before the crash; of a shell, when another has sent what it left."""
        if crash.process != SHELL:
            assert strike.at_s is not None
            return load.wait_paid_since(strike.at_s, _PAYS_WITHIN_S)
        strike.scene.shell("outbox send")
        return time.time()

    # -- what is checked ------------------------------------------------------------

    def _judge(self, load: Load, crash: Crash, strike: "_Strike", after_s: float) -> Row:
        in_doubt = find_lingering(self._main)
        committed = sum(told.result.outcome == "committed" for told in load.told)
        money = [*find_money_faults(self._main, committed), *self._find_unmoved(crash, strike)]
        lies = [*find_lies(load.told[self._judged :], load.clients)]
        self._judged = len(load.told)
        if crash.process == SHELL:
            lies += find_shell_faults(self._main, strike.scene.memo, strike.scene.said)
        return Row(crash, True, after_s, tuple(money), tuple(in_doubt), tuple(lies))

    def _find_unmoved(self, crash: Crash, strike: "_Strike") -> list[str]:
        """Say if a node goes on whose disk has failed: it cannot know what is durable."""
        is_node = crash.process == "gateway" or crash.process in BANKS
        is_same = _count_starts(self._main, crash.process) == strike.starts
        return [f"{crash.process} goes on though its disk has failed"] if is_node and is_same else []

    def _pay_once(self) -> None:
        """Pay on the fresh ground."""
        request = PaymentRequest(
            new_payment_id(), f"{PAYERS[0]}@{BANKS[0]}", f"{PAYERS[1]}@{BANKS[1]}", 100, "INR", ""
        )
        with self._fresh.connect(PAYERS[0]) as client:
            result = client.pay(request)
        if result.outcome != "committed":
            raise NotSettled(f"the first payment is {result.outcome}: {result.reason}")

    def _start_load(self) -> Load:
        if self._load is None:
            self._main.run("up")
            self._load = Load(self._main)
        return self._load

    def _audit(self) -> list[str]:
        if self._load is None:
            return []
        told: list[Told] = self._load.told
        try:
            self._load.pause()
            self._main.run("down")
            return audit_files(self._main, told)
        except _FAILURES as error:
            return [_describe(error)]


class _Strike(NamedTuple):
    """A crash that was ordered: ``at_s`` is None if it did not happen; ``starts``, those of its node before."""

    at_s: float | None
    starts: int
    scene: Scene


def _has_struck(strike: _Strike | None) -> bool:
    return strike is not None and strike.at_s is not None


def _count_starts(ground: Ground, process: str) -> int:
    """Return how often a node has been started by the supervisor of now; 0 for what is no node, or not up."""
    with suppress(SupervisorAway, SupervisorSilent, KeyError):
        return int(ground.nodes()[process]["starts"])
    return 0


def _describe(error: Exception) -> str:
    if isinstance(error, NotInTime):
        late = [f"{node['name']} ({node['reason']})" for node in error.nodes if not node["is_ready"]]
        return f"not serving in time: {', '.join(late)}"
    return str(error) or type(error).__name__
