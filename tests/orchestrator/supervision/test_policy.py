"""The restart policy, told as histories: at this second this happens; then the node is so, and this is done."""

from dataclasses import replace

import pytest

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
    backoff_s,
    next_at_s,
    step,
)

LIMITS = Limits()

WORDS: dict[str, Event] = {
    "start": Start(),
    "stop": Stop(),
    "answered": Answered(),
    "unanswered": Unanswered(),
    "pause": Paused(is_held=False),
    "hold": Paused(is_held=True),
    "resume": Resumed(),
    "time": TimePassed(),
    "chaos-killed": Ended(-9, is_chaos=True),
    "not-spawned": Ended(None, "no memory"),
}

# second, what happens, the state after it, what is done about it (nothing, if not said).
# With the dice always at a half, the back-offs are 75, 150, 300, 600, 1200, 2400 and then 3750 ms.
HISTORIES = {
    "a start spawns, and the first answer makes it running": """
        0     start         STARTING  spawn
        0.5   answered      RUNNING
        60    answered      RUNNING
    """,
    "an answer before a start changes nothing": """
        0     answered      STOPPED
    """,
    "a second start changes nothing": """
        0     start         STARTING  spawn
        0.1   start         STARTING
        0.5   answered      RUNNING
        0.6   start         RUNNING
    """,
    "a killed node is started again after its back-off, not before": """
        0     start         STARTING  spawn
        0.5   answered      RUNNING
        30    ended -9      BACKOFF
        30.07 time          BACKOFF
        30.08 time          STARTING  spawn
        30.5  answered      RUNNING
    """,
    "a node that ends cleanly by itself is started again": """
        0     start         STARTING  spawn
        0.5   answered      RUNNING
        30    ended 0       EXITED
        30.08 time          STARTING  spawn
    """,
    "the back-off grows with every end": """
        0     start         STARTING  spawn
        4     ended 1       BACKOFF
        4.07  time          BACKOFF
        4.08  time          STARTING  spawn
        8     ended 1       BACKOFF
        8.14  time          BACKOFF
        8.15  time          STARTING  spawn
        12    ended 1       BACKOFF
        12.29 time          BACKOFF
        12.30 time          STARTING  spawn
        16    ended 1       BACKOFF
        16.59 time          BACKOFF
        16.60 time          STARTING  spawn
    """,
    "the back-off grows for a node that came up each time, too, however long ago the first start was": """
        20    start         STARTING  spawn
        20.5  answered      RUNNING
        24    ended 1       BACKOFF
        24.08 time          STARTING  spawn
        24.5  answered      RUNNING
        28    ended 1       BACKOFF
        28.14 time          BACKOFF
        28.15 time          STARTING  spawn
    """,
    "a quiet time makes the back-off small again": """
        0     start         STARTING  spawn
        4     ended 1       BACKOFF
        5     time          STARTING  spawn
        8     ended 1       BACKOFF
        9     time          STARTING  spawn
        9.5   answered      RUNNING
        19.5  ended 1       BACKOFF
        19.58 time          STARTING  spawn
    """,
    "five starts in ten seconds are enough": """
        0     start         STARTING  spawn
        0.1   ended 1       BACKOFF
        0.2   time          STARTING  spawn
        0.3   ended 1       BACKOFF
        0.5   time          STARTING  spawn
        0.6   ended 1       BACKOFF
        1     time          STARTING  spawn
        1.1   ended 1       BACKOFF
        2     time          STARTING  spawn
        2.1   ended 1       FATAL
        99    time          FATAL
    """,
    "five starts are enough for a node that came up each time, too": """
        0     start         STARTING  spawn
        0.1   answered      RUNNING
        0.2   ended -11     BACKOFF
        0.3   time          STARTING  spawn
        0.4   answered      RUNNING
        0.5   ended -11     BACKOFF
        1     time          STARTING  spawn
        1.1   ended -11     BACKOFF
        2     time          STARTING  spawn
        2.1   ended -11     BACKOFF
        4     time          STARTING  spawn
        4.1   ended -11     FATAL
    """,
    "five starts in more than ten seconds are not": """
        0     start         STARTING  spawn
        3     ended 1       BACKOFF
        4     time          STARTING  spawn
        6     ended 1       BACKOFF
        7     time          STARTING  spawn
        8     ended 1       BACKOFF
        9     time          STARTING  spawn
        9.1   ended 1       BACKOFF
        10    time          STARTING  spawn
        10.1  ended 1       BACKOFF
        13    time          STARTING  spawn
    """,
    "what chaos kills is no failed start": """
        0     start         STARTING  spawn
        0.1   chaos-killed  BACKOFF
        0.2   time          STARTING  spawn
        0.3   chaos-killed  BACKOFF
        0.4   time          STARTING  spawn
        0.5   chaos-killed  BACKOFF
        0.6   time          STARTING  spawn
        0.7   chaos-killed  BACKOFF
        0.8   time          STARTING  spawn
        0.9   chaos-killed  BACKOFF
        0.98  time          STARTING  spawn
    """,
    "a wrong configuration is fatal at once": """
        0     start         STARTING  spawn
        0.1   ended 78      FATAL
        99    time          FATAL
    """,
    "what others are in the way of is tried again for ever, ever more seldom": """
        0     start         STARTING  spawn
        0.1   ended 75      BACKOFF
        0.2   time          STARTING  spawn
        0.3   ended 75      BACKOFF
        0.5   time          STARTING  spawn
        0.6   ended 75      BACKOFF
        1     time          STARTING  spawn
        1.1   ended 75      BACKOFF
        2     time          STARTING  spawn
        2.1   ended 75      BACKOFF
        3     time          BACKOFF
        4     time          STARTING  spawn
        4.1   ended 75      BACKOFF
        7     time          STARTING  spawn
        7.1   ended 75      BACKOFF
        10    time          BACKOFF
        11    time          STARTING  spawn
        11.5  answered      RUNNING
    """,
    "a crash after that counts from one": """
        0     start         STARTING  spawn
        0.1   ended 75      BACKOFF
        0.2   time          STARTING  spawn
        0.3   ended 75      BACKOFF
        0.5   time          STARTING  spawn
        0.6   ended 1       BACKOFF
        1     time          STARTING  spawn
        1.1   ended 1       BACKOFF
        2     time          STARTING  spawn
        2.1   ended 1       BACKOFF
        4     time          STARTING  spawn
        4.1   ended 1       BACKOFF
        8     time          STARTING  spawn
        8.1   ended 1       FATAL
    """,
    "what cannot be spawned backs off and gives up like the rest": """
        0     start         STARTING  spawn
        0     not-spawned   BACKOFF
        0.1   time          STARTING  spawn
        0.1   not-spawned   BACKOFF
        0.3   time          STARTING  spawn
        0.3   not-spawned   BACKOFF
        1     time          STARTING  spawn
        1     not-spawned   BACKOFF
        2     time          STARTING  spawn
        2     not-spawned   FATAL
    """,
    "a start brings a fatal node back, with its past forgotten": """
        0     start         STARTING  spawn
        0.1   ended 78      FATAL
        5     start         STARTING  spawn
        5.1   ended 1       BACKOFF
        5.18  time          STARTING  spawn
    """,
    "a start ends the waiting of a back-off": """
        0     start         STARTING  spawn
        0.1   ended 1       BACKOFF
        0.11  start         STARTING  spawn
        0.3   time          STARTING
    """,
    "a stop is TERM, and a node that ends in time is stopped": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     stop          STOPPING  terminate
        2.5   time          STOPPING
        3     ended 0       STOPPED
        99    time          STOPPED
    """,
    "a stop is KILL after the grace": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     stop          STOPPING  terminate
        5.9   time          STOPPING
        6     time          STOPPING  kill
        6.1   time          STOPPING
        6.2   ended -9      STOPPED
    """,
    "what even KILL did not end is killed again": """
        0     start         STARTING  spawn
        2     stop          STOPPING  terminate
        6     time          STOPPING  kill
        10    time          STOPPING  kill
    """,
    "nothing respawns between TERM and KILL": """
        0     start         STARTING  spawn
        1     stop          STOPPING  terminate
        1.1   ended 1       STOPPED
        9     time          STOPPED
    """,
    "a stop while starting": """
        0     start         STARTING  spawn
        0.1   stop          STOPPING  terminate
        0.2   answered      STOPPING
        0.3   unanswered    STOPPING
        0.4   ended -15     STOPPED
    """,
    "a stop in a back-off forbids the next start": """
        0     start         STARTING  spawn
        0.1   ended 1       BACKOFF
        0.11  stop          STOPPED
        9     time          STOPPED
    """,
    "a stop of a fatal node is remembered as a stop": """
        0     start         STARTING  spawn
        0.1   ended 78      FATAL
        1     stop          STOPPED
    """,
    "a stop of a stopped node": """
        0     stop          STOPPED
    """,
    "a second stop signals nothing": """
        0     start         STARTING  spawn
        1     stop          STOPPING  terminate
        2     stop          STOPPING
    """,
    "a start while stopping starts as soon as it ended: a restart": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     stop          STOPPING  terminate
        2     start         STOPPING
        3     ended 0       STARTING  spawn
    """,
    "a stop after the start of a restart wins": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     stop          STOPPING  terminate
        2     start         STOPPING
        2.1   stop          STOPPING
        3     ended 0       STOPPED
    """,
    "a node that does not answer for long enough is hung, and killed": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     unanswered    RUNNING
        4     unanswered    RUNNING
        6.9   unanswered    RUNNING
        7     unanswered    RUNNING   kill
        7.1   ended -9      BACKOFF
        7.2   time          STARTING  spawn
    """,
    "one answer in between, and the patience is new": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     unanswered    RUNNING
        6     answered      RUNNING
        7     unanswered    RUNNING
        11    unanswered    RUNNING
        12    unanswered    RUNNING   kill
    """,
    "a watcher that died makes nobody hung": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        600   time          RUNNING
        600   unanswered    RUNNING
        601   answered      RUNNING
    """,
    "a node that starts is given longer than one that runs": """
        0     start         STARTING  spawn
        0.1   unanswered    STARTING
        20    unanswered    STARTING
        30.1  unanswered    STARTING  kill
        30.2  ended -9      BACKOFF
    """,
    "a paused node counts as hung": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     pause         RUNNING
        3     unanswered    RUNNING
        8     unanswered    RUNNING   kill
    """,
    "a held node does not": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     hold          RUNNING
        3     unanswered    RUNNING
        99    unanswered    RUNNING
        100   resume        RUNNING
        101   unanswered    RUNNING
        106   unanswered    RUNNING   kill
    """,
    "what chaos killed takes its own start out of the count and no other": """
        0     start         STARTING  spawn
        0.1   ended 1       BACKOFF
        9.5   time          STARTING  spawn
        9.6   chaos-killed  BACKOFF
        9.7   time          STARTING  spawn
        9.8   ended 1       BACKOFF
        10    time          STARTING  spawn
        10.05 ended 1       BACKOFF
        10.4  time          STARTING  spawn
        10.45 ended 1       BACKOFF
        11.1  time          STARTING  spawn
        11.2  ended 1       BACKOFF
    """,
    "a node is silent from when it was asked, not from when that was noticed": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        3     unanswered 2  RUNNING
        5.9   unanswered 1  RUNNING
        6     unanswered 1  RUNNING   kill
    """,
    "the silence before a hold does not count after it": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     unanswered    RUNNING
        3     hold          RUNNING
        99    resume        RUNNING
        100   unanswered    RUNNING
        105   unanswered    RUNNING   kill
    """,
    "a held node that is killed is held no more": """
        0     start         STARTING  spawn
        1     answered      RUNNING
        2     hold          RUNNING
        3     ended -9      BACKOFF
        4     time          STARTING  spawn
        5     answered      RUNNING
        6     unanswered    RUNNING
        11    unanswered    RUNNING   kill
    """,
    "the end of a process that was given up already changes nothing": """
        0     ended -9      STOPPED
    """,
}  # fmt: skip


def read_event(word: str) -> Event:
    kind, _, number = word.partition(" ")
    if kind == "unanswered" and number:
        return Unanswered(float(number))
    return Ended(int(number)) if kind == "ended" else WORDS[kind]


def play(story: str, life: Life | None = None) -> Life:
    life = life or Life()
    for line in story.strip().splitlines():
        at, *words = line.split()
        states = [i for i, word in enumerate(words) if word in State.__members__]
        event = read_event(" ".join(words[: states[0]]))
        state, action = words[states[0]], (words[states[0] + 1 :] or ["nothing"])[0]
        life, done = step(life, event, Moment(float(at)), LIMITS)
        assert (life.state.value, done.value) == (state, action), line.strip()
    return life


@pytest.mark.parametrize("story", HISTORIES.values(), ids=HISTORIES.keys())
def test_history(story: str) -> None:
    play(story)


@pytest.mark.parametrize(
    ("failures", "fraction", "expected_s"),
    [
        (1, 0.0, 0.05),
        (1, 1.0, 0.1),
        (2, 1.0, 0.2),
        (3, 1.0, 0.4),
        (6, 1.0, 3.2),
        (7, 0.0, 2.5),
        (7, 1.0, 5.0),
        (10_000, 1.0, 5.0),
    ],
)
def test_the_backoff_doubles_to_its_cap_and_half_of_it_is_random(
    failures: int, fraction: float, expected_s: float
) -> None:
    assert backoff_s(failures, fraction, LIMITS) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Ended(-9), "killed by signal 9"),
        (Ended(1), "exit code 1"),
        (Ended(75, "port 60051 is in use"), "exit code 75: port 60051 is in use"),
        (Ended(0), "exit code 0"),
        (Ended(None, "no memory"), "cannot be started: no memory"),
        (Ended(-9, is_chaos=True), "killed by chaos"),
        (Ended(78, "certs/ca/ca.crt is missing"), "exit code 78: certs/ca/ca.crt is missing"),
    ],
)
def test_the_reason_of_an_end_is_kept(event: Ended, reason: str) -> None:
    started = play("0 start STARTING spawn")
    ended, _ = step(started, event, Moment(1.0), LIMITS)
    assert ended.reason == reason


def test_a_hung_node_says_so_and_not_that_it_was_killed() -> None:
    hung = play("0 start STARTING spawn\n1 answered RUNNING\n2 unanswered RUNNING\n7 unanswered RUNNING kill")
    ended, _ = step(hung, Ended(-9), Moment(7.1), LIMITS)
    assert ended.reason == "hung: no answer for 5 s"
    started, _ = step(ended, TimePassed(), Moment(8.0), LIMITS)
    again, _ = step(started, Ended(3), Moment(8.1), LIMITS)
    assert again.reason == "exit code 3"


def test_giving_up_says_after_what() -> None:
    given_up = play(HISTORIES["five starts in ten seconds are enough"])
    assert given_up.reason == "gave up after 5 starts in 10 s: exit code 1"


def test_restarts_are_counted_and_commanded_ones_are_not() -> None:
    assert play(HISTORIES["the back-off grows with every end"]).restarts == 4
    assert play(HISTORIES["a start while stopping starts as soon as it ended: a restart"]).restarts == 0


def test_the_next_moment_that_matters_is_known() -> None:
    assert next_at_s(play("0 start STARTING spawn\n1 answered RUNNING")) is None
    assert next_at_s(play("0 start STARTING spawn\n1 ended 1 BACKOFF")) == pytest.approx(1.075)
    assert next_at_s(play("0 start STARTING spawn\n1 stop STOPPING terminate")) == pytest.approx(5.0)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", [*WORDS.values(), Ended(1)], ids=repr)
def test_every_event_is_allowed_in_every_state(state: State, event: Event) -> None:
    life, action = step(replace(Life(), state=state), event, Moment(1.0), LIMITS)
    assert life.state in State
    assert (action is Action.SPAWN) <= (life.state is State.STARTING)
