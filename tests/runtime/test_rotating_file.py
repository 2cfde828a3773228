"""A log that rotates: bounded, whole lines only, and no reason for its node to fail."""

import errno
import os
from pathlib import Path

import pytest

from nodes.runtime import rotating_file
from nodes.runtime.rotating_file import LogUnusable, RotatingFile

STDERR = 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.log"


@pytest.fixture
def disk(monkeypatch):
    """Give a disk with room for as many bytes as the test says, None for no limit; stderr may lie on it, too."""
    write = os.write

    class Disk:
        room = None
        has_stderr = False

    def write_what_fits(descriptor, line):
        if Disk.room is None or (descriptor == STDERR and not Disk.has_stderr):
            return write(descriptor, line)
        if Disk.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, line[: Disk.room])
        Disk.room -= written
        return written

    monkeypatch.setattr(rotating_file.os, "write", write_what_fits)
    return Disk


def count_open():
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_a_full_file_is_set_aside_and_old_ones_go(tmp_path, path):
    file = RotatingFile(path, bytes_max=100)
    before = count_open()
    for number in range(40):
        file.write(f"{number:049}\n".encode())
    assert count_open() == before
    file.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["x.log", *(f"x.log.{number}" for number in range(1, 6))]
    assert path.read_text().splitlines()[-1] == f"{39:049}"
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())


def test_a_file_goes_on_where_the_process_before_left_it(path):
    for line in (b"one\n", b"two\n"):
        file = RotatingFile(path)
        file.write(line)
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_nobody_else_can_read_it(path):
    RotatingFile(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_disk_loses_lines_says_so_and_how_many_once_there_is_room(path, disk, capfd):
    file = RotatingFile(path)
    disk.room = 0
    for _ in range(3):
        file.write(b"lost\n")
    assert capfd.readouterr().err == (
        f"warning: cannot write the log {path} (No space left on device): lines are lost until that is mended\n"
    )
    disk.room = None
    file.write(b"kept\n")
    file.close()
    assert path.read_bytes() == b"kept\n"
    assert capfd.readouterr().err == f"warning: the log {path} is written again; 3 lines of it were lost\n"


def test_a_full_disk_that_stderr_lies_on_too_harms_nobody(path, disk, capfd):
    file = RotatingFile(path)
    disk.room, disk.has_stderr = 0, True
    file.write(b"lost\n")
    disk.room = None
    file.write(b"kept\n")
    file.close()
    assert path.read_bytes() == b"kept\n"
    assert capfd.readouterr().err == f"warning: the log {path} is written again; 1 lines of it were lost\n"


def test_a_line_that_was_torn_does_not_spoil_the_next(path, disk):
    file = RotatingFile(path)
    disk.room = 3
    file.write(b"torn off\n")
    disk.room = None
    file.write(b"whole\n")
    file.write(b"as well\n")
    file.close()
    assert path.read_bytes() == b"tor\nwhole\nas well\n"


def test_a_file_that_cannot_be_set_aside_grows_on(path, capfd):
    path.with_name("x.log.4").touch()
    path.with_name("x.log.5").mkdir()
    file = RotatingFile(path, bytes_max=20)
    for number in range(4):
        file.write(f"{number:09}\n".encode())
    file.close()
    assert len(path.read_bytes().splitlines()) == 4
    assert "cannot set the log" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["folder", "file/x.log"])
def test_a_log_that_cannot_be_written_is_named(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(LogUnusable, match="cannot write the log "):
        RotatingFile(tmp_path / where)
