"""One node kept alive: what the policy decides, done to a real process.

The keeper feeds the policy with what happens (commands, answers, ends, time), carries
out what it says, and writes every change of state to the journal. It believes an answer
only from the very process that it started: the instance, a fresh id of each start, must
come back in it, so an old process or a stranger on the same port is never taken for it.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from nodes.runtime.crash_points import reach
from orchestrator.supervision.plan import Launch
from orchestrator.supervision.policy import (
    Action,
    Answered,
    Ended,
    Event,
    Life,
    Limits,
    Moment,
    Paused,
    Resumed,
    Start,
    State,
    Stop,
    TimePassed,
    Unanswered,
    next_at_s,
    step,
)
from orchestrator.supervision.processes import Process, Usage, spawn, trim_output

_LAST_LINES = 10


class Watch(Protocol):
    """Has the nodes asked how they are."""

    def watch(self, launch: Launch, instance: str) -> None:
        """Ask this instance of the node from now on."""

    def forget(self, node: str) -> None:
        """Ask the node no more."""


@dataclass(slots=True)
class Health:
    """What the node last said, or why it said nothing."""

    is_answering: bool = False
    is_ready: bool = False
    reason: str = ""
    counters: dict[str, Any] = field(default_factory=dict)
    certificate: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Keeper:
    """Keeps one node as the policy says; every method must be called on the event loop."""

    def __init__(
        self,
        launch: Launch,
        limits: Limits,
        *,
        lifeline_fd: int,
        watch: Watch,
        report: Callable[[str, str, str], None],
    ) -> None:
        self.launch = launch
        self.life = Life()
        self._limits = limits
        self._lifeline_fd = lifeline_fd
        self._watch = watch
        self._report = report
        self._process: Process | None = None
        self._instance = ""
        self._started_at = ""
        self._starts = 0
        self._health = Health()
        self._paused = ""
        self._is_killed_by_chaos = False
        self._timer: asyncio.TimerHandle | None = None
        self._usage = Usage(0.0, 0)
        self._last_lines: list[str] = []
        self._last_code: int | None = None

    @property
    def is_down(self) -> bool:
        """Whether there is no process."""
        return self._process is None

    @property
    def is_serving(self) -> bool:
        """Whether the node is ready for payments."""
        return self.life.state is State.RUNNING and self._health.is_ready

    def start(self) -> None:
        """Have the node up."""
        self._tell(Start())

    def stop(self) -> None:
        """Have the node down, and stay down."""
        self._tell(Stop())

    def restart(self) -> None:
        """Have the node end, if it is up, and start again."""
        self._tell(Stop())
        self._tell(Start())

    def kill(self) -> None:
        """Kill the process, for the sake of chaos; the policy brings the node back."""
        process = self._demand_process()
        self._is_killed_by_chaos = True
        self._report(self.launch.name, "chaos", f"kill: signal 9 to process {process.pid}")
        process.kill()

    def pause(self, is_held: bool) -> None:
        """Freeze the process; with ``is_held`` it does not count as hung."""
        process = self._demand_process()
        self._paused = "paused and held" if is_held else "paused"
        self._report(self.launch.name, "chaos", f"{self._paused}: process {process.pid} frozen")
        process.pause()
        self._tell(Paused(is_held))

    def resume(self) -> None:
        """Thaw the process."""
        process = self._demand_process()
        self._paused = ""
        self._report(self.launch.name, "chaos", f"resumed: process {process.pid} thawed")
        process.resume()
        self._tell(Resumed())

    def thaw(self) -> None:
        """Thaw the process, if there is one that chaos has frozen."""
        if self._process is not None and self._paused:
            self.resume()

    def hear(self, answer: dict[str, Any]) -> None:
        """Take what the prober found."""
        if self._process is None or answer.get("asked_for", self._instance) != self._instance:
            return
        if "error" in answer:
            self._health = Health(reason=f"no answer: {answer['error']}", counters=self._health.counters)
            self._tell(Unanswered(answer["waited_s"]))
        elif answer["instance"] != self._instance:
            reason = f"another process answers at {self.launch.address}"
            self._health = Health(reason=reason)
            self._tell(Unanswered())
        else:
            self._hear_itself(answer)

    def look(self) -> None:
        """Measure what the process uses, and keep what it prints from growing; call it every few seconds."""
        self._usage = self._process.usage() if self._process else Usage(0.0, 0)
        with suppress(OSError):
            trim_output(Path(self.launch.output))

    def describe(self) -> dict[str, Any]:
        """Return all that `status` shows, as JSON."""
        process = self._process
        next_s = self.life.next_start_s
        return {
            "name": self.launch.name,
            "role": self.launch.role,
            "address": self.launch.address,
            "certificate_ends_at": self._health.certificate.get("ends_at") or self.launch.certificate_ends_at,
            "certificate": self._health.certificate,
            "warnings": self._health.warnings,
            "state": self.life.state.value,
            "is_answering": self._health.is_answering,
            "is_ready": self.is_serving,
            "reason": self._reason(),
            "pid": process.pid if process else None,
            "create_time_s": process.create_time_s if process else None,
            "started_at": self._started_at if process else None,
            "starts": self._starts,
            "restarts": self.life.restarts,
            "next_start_in_s": None if next_s is None else max(0.0, next_s - _now_s()),
            "cpu_percent": self._usage.cpu_percent,
            "rss_bytes": self._usage.rss_bytes,
            "counters": self._health.counters if process else {},
            "last_code": self._last_code,
            "last_lines": self._last_lines if self.life.state in (State.FATAL, State.BACKOFF) else [],
        }

    def _hear_itself(self, answer: dict[str, Any]) -> None:
        was_ready = self.is_serving
        reason = "" if answer["is_ready"] else answer["not_ready_reason"] or "not ready"
        self._health = Health(
            is_answering=True,
            is_ready=answer["is_ready"],
            reason=reason,
            counters=answer.get("detail", {}),
            certificate=answer.get("certificate", {}),
            warnings=answer.get("warnings", []),
        )
        self._tell(Answered())
        if self.is_serving != was_ready:
            self.look()
            text = "serving" if self.is_serving else f"not serving: {reason}"
            self._report(self.launch.name, "ready" if self.is_serving else "not-ready", text)

    def _reason(self) -> str:
        if self._paused:
            return f"{self._paused} by chaos"
        if self.life.state is State.RUNNING:
            return self._health.reason
        if self.life.state is State.STARTING:
            return self.life.reason or self._health.reason
        return self.life.reason

    def _demand_process(self) -> Process:
        if self._process is None:
            raise LookupError(f"{self.launch.name} is not running (it is {self.life.state})")
        return self._process

    def _tell(self, event: Event) -> None:
        before = self.life
        moment = Moment(_now_s(), random.random())  # noqa: S311 - jitter
        self.life, action = step(self.life, event, moment, self._limits)
        self._report_change(before)
        self._perform(action)
        self._set_timer()

    def _perform(self, action: Action) -> None:
        if action is Action.SPAWN:
            self._spawn()
        elif self._process is not None and action is Action.TERMINATE:
            self._process.terminate()
            reach("supervisor.stop.term-sent")
        elif self._process is not None and action is Action.KILL:
            self._report(self.launch.name, "kill", self.life.verdict or "did not end in time")
            self._process.kill()

    def _spawn(self) -> None:
        self._instance = str(uuid4())
        self._starts += 1
        self._health = Health()
        launch = self.launch
        try:
            reach("supervisor.spawn.unspawned")
            command = launch.command_for(self._instance, self._lifeline_fd)
            process = spawn(command, output=Path(launch.output), lifeline_fd=self._lifeline_fd)
        except OSError as error:
            self._tell(Ended(None, f"{error.strerror}: {error.filename or command[0]}"))
            return
        self._process = process
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        reach("supervisor.spawn.unwatched")
        process.watch(self._end)
        self._watch.watch(launch, self._instance)
        self._report(launch.name, "started", f"process {process.pid}")
        reach("supervisor.spawn.started")

    def _end(self, code: int) -> None:
        assert self._process is not None
        self._watch.forget(self.launch.name)
        self._last_lines = self._process.last_lines(_LAST_LINES)
        self._last_code = code
        self._process = None
        self._health = Health()
        self._paused = ""
        is_chaos, self._is_killed_by_chaos = self._is_killed_by_chaos, False
        self._report(self.launch.name, "ended", f"signal {-code}" if code < 0 else f"exit code {code}")
        self._tell(Ended(code, self._last_lines[-1].strip() if self._last_lines and code > 0 else "", is_chaos))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at_s = next_at_s(self.life)
        self._timer = None
        if at_s is not None:
            reach("supervisor.backoff.waiting")
            self._timer = asyncio.get_running_loop().call_at(at_s, self._tell, TimePassed())

    def _report_change(self, before: Life) -> None:
        # A start is told by what came of it: "started", or a back-off.
        if self.life.state in (before.state, State.STARTING):
            return
        text = "answers" if self.life.state is State.RUNNING else self.life.reason
        if self.life.next_start_s is not None:
            text += f"; next start in {self.life.next_start_s - _now_s():.1f} s"
        self._report(self.launch.name, self.life.state.value.lower(), text)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
