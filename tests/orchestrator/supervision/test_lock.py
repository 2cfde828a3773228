"""One owner of a folder, however its predecessor ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.supervision import lock
from orchestrator.supervision.lock import FolderLock, Taken, is_held, read_owner

HOLD = """
import sys
from pathlib import Path
from orchestrator.supervision import lock
from orchestrator.supervision.lock import FolderLock
FolderLock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "supervisor.lock"


def test_a_second_taker_learns_who_holds_it(path: Path) -> None:
    first = FolderLock(path)
    first.take()
    with pytest.raises(Taken, match=f"supervisor.lock is held by process {os.getpid()}"):
        FolderLock(path).take()
    assert is_held(path)
    first.release()
    assert not is_held(path)


def test_a_lock_dies_with_its_holder(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert read_owner(path) == holder.pid
        with pytest.raises(Taken, match=str(holder.pid)):
            FolderLock(path).take()
        holder.kill()
    with FolderLock(path) as taken:
        taken.take()
        assert read_owner(path) == os.getpid()


def test_what_a_former_owner_wrote_is_no_part_of_what_the_next_writes(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"pid": 1234567890, "create_time_s": 1.0}' + 200 * "x")
    with FolderLock(path) as taken:
        taken.take()
        assert read_owner(path) == os.getpid()


def test_a_taker_waits_for_the_holder(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        with FolderLock(path) as taken:
            taken.take(within_s=10)
            assert is_held(path)


def test_a_file_that_is_wiped_while_it_is_locked_is_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_lock = lock._lock
    wiped: list[Path] = []

    def wipe_once(fd: int) -> bool:
        if not wiped:
            path.unlink()
            wiped.append(path)
        return really_lock(fd)

    monkeypatch.setattr(lock, "_lock", wipe_once)
    with FolderLock(path) as taken:
        taken.take(within_s=10)
        assert wiped
        assert is_held(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": 1, "create_time_s": 0}', b'{"pid": "x"}', b"\xff"])
def test_a_pid_that_was_given_to_another_names_nobody(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    assert read_owner(path) is None
    assert not is_held(path)
