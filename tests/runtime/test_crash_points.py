"""Crash points: nothing happens to who was not told to obey; an order strikes once, at its hit, in its time."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from nodes.runtime.crash_points import CrashPointReached, Order, give_order, obey, reach, struck_at_s, take_back

ORDER = Order(number="1", point="a.point", action="raise", hit=1, until_s=2**40)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "crash" / "HDFC.order"
    obey(path)
    yield path
    obey(None)


def count_until_struck(point: str, times: int) -> int:
    """Return at which of so many times a point struck; 0 if it never did."""
    for number in range(1, times + 1):
        try:
            reach(point)
        except CrashPointReached:
            return number
    return 0


def test_a_process_that_was_not_told_to_obey_cannot_be_struck(path, monkeypatch):
    obey(None)
    give_order(path, ORDER)
    for name in ("CRASH_POINTS", "CLUSTER_CRASH_POINTS", "PROFILE", "CLUSTER_PROFILE"):
        monkeypatch.setenv(name, str(path))
    assert count_until_struck("a.point", 3) == 0
    assert struck_at_s(path) is None


def test_without_an_order_nothing_happens(path):
    assert count_until_struck("a.point", 3) == 0


def test_an_order_strikes_at_its_point_alone(path):
    give_order(path, ORDER)
    assert count_until_struck("another.point", 3) == 0
    assert count_until_struck("a.point", 3) == 1


def test_an_order_strikes_once(path):
    give_order(path, ORDER)
    assert count_until_struck("a.point", 3) == 1
    assert count_until_struck("a.point", 3) == 0
    assert not path.exists()


_REACHES = """
import sys
from pathlib import Path
from nodes.runtime.crash_points import obey, reach
obey(Path(sys.argv[1]))
reach("a.point")
"""


def test_an_order_to_kill_twice_strikes_two_processes_and_no_third(path):
    give_order(path, replace(ORDER, action="kill-twice"))
    for is_last, code in ((False, -signal.SIGKILL), (True, -signal.SIGKILL), (True, 0)):
        assert subprocess.run([sys.executable, "-c", _REACHES, str(path)], check=False).returncode == code
        assert (struck_at_s(path) is not None) is is_last, "it has struck once the second is dead"


def test_an_order_strikes_at_the_hit_that_it_names(path):
    give_order(path, replace(ORDER, hit=3))
    assert count_until_struck("a.point", 9) == 3


def test_hits_are_counted_anew_for_each_order(path):
    give_order(path, replace(ORDER, hit=3))
    assert count_until_struck("a.point", 2) == 0
    give_order(path, replace(ORDER, number="2", hit=3))
    assert count_until_struck("a.point", 9) == 3


def test_an_order_that_has_lapsed_strikes_nobody(path):
    give_order(path, replace(ORDER, until_s=time.time() - 1))
    assert count_until_struck("a.point", 3) == 0


def test_an_order_that_was_taken_back_strikes_nobody(path):
    give_order(path, ORDER)
    take_back(path)
    assert count_until_struck("a.point", 3) == 0


def test_it_is_known_when_an_order_was_carried_out_and_forgotten_with_the_next(path):
    assert struck_at_s(path) is None
    give_order(path, ORDER)
    assert struck_at_s(path) is None
    before = time.time()
    count_until_struck("a.point", 1)
    assert before - 1 <= struck_at_s(path) <= time.time() + 1
    give_order(path, ORDER)
    assert struck_at_s(path) is None


def test_of_two_processes_that_obey_one_file_one_is_struck(path):
    give_order(path, ORDER)
    claimed = path.with_suffix(".struck")
    path.rename(claimed)  # as the other does between our look and our claim
    assert count_until_struck("a.point", 1) == 0


@pytest.mark.parametrize(
    ("action", "error"),
    [("full", apsw.FullError), ("io-error", apsw.IOError), ("commit-then-error", apsw.IOError)],
)
def test_a_store_can_be_struck_by_the_errors_of_its_disk(path, action, error):
    give_order(path, replace(ORDER, action=action))
    with pytest.raises(error, match=r"at a\.point"):
        reach("a.point")


def test_a_process_can_be_held_up(path):
    give_order(path, replace(ORDER, action="sleep", sleep_s=0.05))
    began = time.monotonic()
    reach("a.point")
    assert time.monotonic() - began >= 0.05


def test_a_killed_process_is_gone_at_once_and_its_order_with_it(tmp_path):
    path = tmp_path / "HDFC.order"
    give_order(path, replace(ORDER, action="kill"))
    code = (
        "import pathlib, sys; from nodes.runtime.crash_points import obey, reach;"
        "obey(pathlib.Path(sys.argv[1])); reach('a.point'); print('alive')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=False, capture_output=True, cwd=Path(__file__).parents[2]
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
    assert not path.exists()
    assert struck_at_s(path) is not None


def test_a_point_costs_nothing_to_speak_of_while_nobody_obeys():
    count = 100_000
    began = time.process_time()
    for _ in range(count):
        reach("a.point")
    assert (time.process_time() - began) / count < 2e-6


COMMITTER = """
import pathlib, sys
from nodes.runtime.crash_files import obey_at_files
from nodes.runtime.crash_points import Order, give_order
from nodes.runtime.database import open_database
order, books, point = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
obey_at_files(order)
connection = open_database(books, "CREATE TABLE kept (number INTEGER) STRICT", 1)
connection.execute("INSERT INTO kept VALUES (1)")
give_order(order, Order("1", point, "kill", 1, 2**40))
if "commit" in point:
    connection.execute("INSERT INTO kept VALUES (2)")
connection.close()
"""


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("store.commit.unsynced", (1, 2)),  # as the machine likes: it was not killed as well
        ("store.commit.synced", (2,)),
        ("store.checkpoint.half-written", (1,)),
        ("store.checkpoint.unsynced", (1,)),
        ("store.checkpoint.synced", (1,)),
    ],
)
def test_a_process_dies_inside_a_commit_and_its_books_are_whole(tmp_path, point, kept):
    books = tmp_path / "books.db"
    command = [sys.executable, "-c", COMMITTER, str(tmp_path / "HDFC.order"), str(books), point]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode == -signal.SIGKILL
    connection = apsw.Connection(str(books))
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT count(*) FROM kept").get in kept
    connection.close()
