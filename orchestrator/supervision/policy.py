"""When a node is started, ended and started again: rules alone, no clock, no dice, no process.

The life of one node as a table; what happens (left) in a state (top) gives the next
state, and what to do about it in capitals. A dot: nothing changes.

    =============  ========  ===========  ===========  ============  ==========  ========
    what happens   STOPPED   STARTING     RUNNING      BACKOFF,      STOPPING    FATAL
                                                       EXITED
    =============  ========  ===========  ===========  ============  ==========  ========
    Start          STARTING  .            .            STARTING      start when  STARTING
                   SPAWN                               SPAWN         it ended    SPAWN
    Stop           .         STOPPING     STOPPING     STOPPED       stay down   STOPPED
                             TERMINATE    TERMINATE                  when ended
    Answered       .         RUNNING      RUNNING      .             .           .
    Unanswered     .         KILL when    KILL when    .             .           .
                             never up     hung
    Ended          .         BACKOFF,     BACKOFF,     .             STOPPED or  .
                             EXITED or    EXITED or                  STARTING
                             FATAL        FATAL                      SPAWN
    TimePassed     .         .            .            STARTING      KILL after  .
                                                       SPAWN when    the grace
                                                       due
    =============  ========  ===========  ===========  ============  ==========  ========

Invariants:

- A commanded stop forbids the next start before anything is signalled, so nothing
  respawns between TERM and KILL.
- Only a question that was asked and not answered counts against a node; a watcher
  that has died cannot make a node look hung. A node that is held is not asked.
- Exit code 78 is final: the configuration is wrong, and starting again will not help.
- Exit code 75 never is: a disk is full or a port taken, and the node is started again,
  ever more seldom, until others have made way. Nothing that it could do itself failed.
- EXITED is the BACKOFF of a node that ended with code 0 though nobody had told it to.

Source: supervisord.org/subprocess.html (the states), systemd.service(5) (the start
limit), aws.amazon.com/builders-library "Timeouts, retries and backoff with jitter".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any, TypeAlias

EXIT_MISCONFIGURED = 78
"""The exit code of a node that cannot use what it was given (EX_CONFIG of sysexits.h)."""
EXIT_LATER = 75
"""The exit code of a node that others are in the way of (EX_TEMPFAIL)."""


class State(StrEnum):
    """Where a node is in its life; the names are Supervisor's."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"


class Action(Enum):
    """What to do to the process now."""

    NOTHING = "nothing"
    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Start:
    """An operator wants the node up; what went wrong before is forgotten."""


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator wants the node down."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The process that was started has answered for itself, ready for payments or not."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The process was asked, and waited for this long, and did not answer."""

    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The process is gone. ``code`` is below 0 for a signal; None if it could not be started at all."""

    code: int | None
    last_words: str = ""
    is_chaos: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """Chaos has frozen the process; with ``is_held`` until it is resumed, else until it counts as hung."""

    is_held: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """Chaos has thawed the process."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing else happened; `next_at_s` tells when this is worth saying."""


Event: TypeAlias = Start | Stop | Answered | Unanswered | Ended | Paused | Resumed | TimePassed


@dataclass(frozen=True, slots=True)
class Limits:
    """The figures of the policy, in seconds; those of `restart` and `liveness` in cluster.yaml."""

    backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    give_up_starts: int = 5
    give_up_window_s: float = 10.0
    hung_after_s: float = 5.0
    start_within_s: float = 30.0
    stop_grace_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens, on a clock that only goes forward, and a random fraction of 0 to 1."""

    now_s: float
    fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Life:
    """All that the policy remembers of one node."""

    state: State = State.STOPPED
    reason: str = ""
    is_wanted: bool = False
    is_held: bool = False
    restarts: int = 0
    failures: int = 0
    """Ends in a row with no quiet time between them: what the back-off grows with."""
    starts_s: tuple[float, ...] = ()
    """When the last starts were, within the window of giving up."""
    running_since_s: float = 0.0
    silent_since_s: float | None = None
    verdict: str = ""
    """Why the policy itself had the process killed."""
    next_start_s: float | None = None
    kill_at_s: float | None = None


def step(life: Life, event: Event, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    """Return the node's life after ``event``, and what to do to its process now.

    Carry the action out, whatever it is: SPAWN must be followed by `Ended` with code
    None if no process came to be, and TERMINATE and KILL by `Ended` once it is gone.
    """
    return _RULES[type(event)](life, event, moment, limits)


def next_at_s(life: Life) -> float | None:
    """Return when `TimePassed` will next change something, if nothing else happens."""
    return life.next_start_s if life.next_start_s is not None else life.kill_at_s


def backoff_s(failures: int, fraction: float, limits: Limits) -> float:
    """Return how long to wait after so many ends in a row: doubled each time, capped, half of it random."""
    ceiling = min(limits.max_backoff_s, limits.backoff_s * 2.0 ** min(failures - 1, 30))
    return ceiling * (0.5 + 0.5 * fraction)


def _start(life: Life, _: Event, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    if life.state in (State.STARTING, State.RUNNING):
        return life, Action.NOTHING
    if life.state is State.STOPPING:
        return replace(life, is_wanted=True), Action.NOTHING
    fresh = replace(life, is_wanted=True, failures=0, starts_s=())
    return _spawn(fresh, moment, limits)


def _stop(life: Life, _: Event, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    life = replace(life, is_wanted=False, next_start_s=None)
    if life.state in (State.STARTING, State.RUNNING):
        stopping = replace(life, state=State.STOPPING, reason="", kill_at_s=moment.now_s + limits.stop_grace_s)
        return stopping, Action.TERMINATE
    if life.state is State.STOPPING:
        return life, Action.NOTHING
    return replace(life, state=State.STOPPED, reason=""), Action.NOTHING


def _answered(life: Life, _: Event, moment: Moment, __: Limits) -> tuple[Life, Action]:
    if life.state is State.STARTING:
        up = replace(life, state=State.RUNNING, reason="", running_since_s=moment.now_s, silent_since_s=None)
        return up, Action.NOTHING
    return replace(life, silent_since_s=None), Action.NOTHING


def _unanswered(life: Life, event: Unanswered, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    if life.state not in (State.STARTING, State.RUNNING) or life.is_held:
        return life, Action.NOTHING
    since_s = moment.now_s - event.waited_s if life.silent_since_s is None else life.silent_since_s
    is_up = life.state is State.RUNNING
    patience_s = limits.hung_after_s if is_up else max(limits.start_within_s, limits.hung_after_s)
    life = replace(life, silent_since_s=since_s)
    if moment.now_s - since_s < patience_s:
        return life, Action.NOTHING
    what = "hung" if is_up else "never came up"
    return replace(life, verdict=f"{what}: no answer for {patience_s:g} s"), Action.KILL


def _ended(life: Life, event: Ended, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    if life.state not in (State.STARTING, State.RUNNING, State.STOPPING):
        return life, Action.NOTHING
    was_quiet = life.state is State.RUNNING and moment.now_s - life.running_since_s >= limits.give_up_window_s
    # What chaos killed, or others were in the way of, was no failed start of the node's own.
    is_others_doing = event.is_chaos or event.code == EXIT_LATER
    starts_s = life.starts_s[:-1] if is_others_doing else life.starts_s
    gone = replace(
        life,
        is_held=False,
        silent_since_s=None,
        kill_at_s=None,
        starts_s=starts_s,
        failures=1 if was_quiet or event.is_chaos else life.failures + 1,
        reason=_describe_end(life, event),
        verdict="",
    )
    if life.state is State.STOPPING:
        return _ended_by_command(gone, moment, limits)
    return _ended_by_itself(gone, event, moment, limits), Action.NOTHING


def _ended_by_command(life: Life, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    if life.is_wanted:
        return _spawn(replace(life, failures=0, starts_s=()), moment, limits)
    return replace(life, state=State.STOPPED, reason=""), Action.NOTHING


def _ended_by_itself(life: Life, event: Ended, moment: Moment, limits: Limits) -> Life:
    if event.code == EXIT_MISCONFIGURED:
        return replace(life, state=State.FATAL, is_wanted=False)
    recent = [at_s for at_s in life.starts_s if moment.now_s - at_s < limits.give_up_window_s]
    if len(recent) >= limits.give_up_starts:
        gave_up = f"gave up after {len(recent)} starts in {limits.give_up_window_s:g} s: {life.reason}"
        return replace(life, state=State.FATAL, is_wanted=False, reason=gave_up)
    state = State.EXITED if event.code == 0 else State.BACKOFF
    delay_s = backoff_s(life.failures, moment.fraction, limits)
    return replace(life, state=state, next_start_s=moment.now_s + delay_s)


def _describe_end(life: Life, event: Ended) -> str:
    if life.verdict:
        return life.verdict
    if event.is_chaos:
        return "killed by chaos"
    if event.code is None:
        return f"cannot be started: {event.last_words}"
    how = f"killed by signal {-event.code}" if event.code < 0 else f"exit code {event.code}"
    return f"{how}: {event.last_words}" if event.last_words else how


def _paused(life: Life, event: Paused, _: Moment, __: Limits) -> tuple[Life, Action]:
    return replace(life, is_held=event.is_held), Action.NOTHING


def _resumed(life: Life, _: Event, __: Moment, ___: Limits) -> tuple[Life, Action]:
    return replace(life, is_held=False, silent_since_s=None), Action.NOTHING


def _time_passed(life: Life, _: Event, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    if life.next_start_s is not None and moment.now_s >= life.next_start_s:
        return _spawn(replace(life, restarts=life.restarts + 1), moment, limits)
    if life.kill_at_s is not None and moment.now_s >= life.kill_at_s:
        # Once more after the same grace, if even KILL has not ended it (a disk that hangs).
        return replace(life, kill_at_s=moment.now_s + limits.stop_grace_s), Action.KILL
    return life, Action.NOTHING


def _spawn(life: Life, moment: Moment, limits: Limits) -> tuple[Life, Action]:
    starts_s = (*life.starts_s, moment.now_s)[-limits.give_up_starts :]
    starting = replace(life, state=State.STARTING, starts_s=starts_s, next_start_s=None, silent_since_s=None)
    return starting, Action.SPAWN


_RULES: dict[type, Callable[[Life, Any, Moment, Limits], tuple[Life, Action]]] = {
    Start: _start,
    Stop: _stop,
    Answered: _answered,
    Unanswered: _unanswered,
    Ended: _ended,
    Paused: _paused,
    Resumed: _resumed,
    TimePassed: _time_passed,
}
