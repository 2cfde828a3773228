"""Flags and the life of a process: each mistake one line, each end its exit code."""

import argparse
import asyncio
import errno
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from nodes.runtime.access import AccessRuleMissing
from nodes.runtime.database import DatabaseUnusable
from nodes.runtime.flags import (
    EXIT_CRASHED,
    EXIT_LATER,
    EXIT_UNUSABLE,
    add_node_flags,
    parse_address,
    parse_duration,
    run_node,
)
from nodes.runtime.lifeline import parse_descriptor
from nodes.runtime.ports import PortUnusable
from nodes.runtime.rotating_file import LogUnusable
from nodes.runtime.tls import CertificateUnusable


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1.5s", 1.5), ("1m", 60.0)])
def test_a_duration_has_its_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "s", "-1s", "1h", "1e9s", "0s", "0.1ms", "1441m", "9" * 400 + "s", "\u0662s"]
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["localhost:1", "127.0.0.1:65535", "[::1]:50052", "bank.example:60051"])
def test_an_address_is_a_host_and_a_port(text):
    assert parse_address(text) == text


@pytest.mark.parametrize(
    "text", ["", "localhost", ":50052", "localhost:0", "localhost:65536", "localhost:-1", "a b:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not host:port"):
        parse_address(text)


def test_a_lifeline_must_have_been_left_open():
    read_end, write_end = os.pipe()
    with closing(os.fdopen(write_end)):
        assert parse_descriptor(str(read_end)) == read_end
        os.close(read_end)
        for text in (str(read_end), "-1", "x", "9" * 30):
            with pytest.raises(argparse.ArgumentTypeError, match="is not a descriptor"):
                parse_descriptor(text)


def test_a_wrong_flag_is_named_on_one_line(capsys):
    parser = argparse.ArgumentParser(prog="bank")
    add_node_flags(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--listen", "localhost:99999"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "bank: error: argument --listen: 'localhost:99999' is not host:port with a port of 1 to 65535"


class UsersUnusable(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CertificateUnusable, EXIT_UNUSABLE),
        (DatabaseUnusable, EXIT_UNUSABLE),
        (LogUnusable, EXIT_UNUSABLE),
        (AccessRuleMissing, EXIT_UNUSABLE),
        (UsersUnusable, EXIT_UNUSABLE),
        (PortUnusable, EXIT_LATER),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_an_exit_code(error, code, capfd):
    async def serve(told):
        raise error("what, where, what to do")

    assert run_node(serve, UsersUnusable) == code
    assert capfd.readouterr().err == "error: what, where, what to do\n"


def from_cause(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        apsw.FullError("database or disk is full"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        from_cause(DatabaseUnusable("cannot open it"), apsw.FullError("database or disk is full")),
        from_cause(LogUnusable("cannot write it"), OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=str,
)
def test_a_node_that_finds_no_room_on_the_disk_is_to_be_started_again_later(error, capfd):
    async def serve(told):
        raise error

    assert run_node(serve) == EXIT_LATER
    assert capfd.readouterr().err == f"error: {error}\n"


def test_what_is_no_lack_of_room_is_not_taken_for_it():
    async def serve(told):
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        run_node(serve)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_ends_with_0(number):
    async def serve(told):
        os.kill(os.getpid(), number)
        await asyncio.wait_for(told.wait(), 10)

    assert run_node(serve) == 0


DYING = """
import apsw, asyncio
from nodes.runtime.flags import run_node, run_or_die
async def turns():
    raise {error}
async def serve(told):
    dying = asyncio.create_task(run_or_die(turns()))
    await told.wait()
run_node(serve)
"""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("OSError('the disk is gone')", EXIT_CRASHED, "OSError: the disk is gone"),
        ("apsw.FullError('it is full')", EXIT_LATER, "FullError: it is full"),
    ],
)
def test_a_node_whose_loop_fails_ends_at_once_whatever_else_it_does(error, code, said):
    command = [sys.executable, "-c", DYING.format(error=error)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == code
    assert ended.stderr == f"fatal: {said}\n"


def test_a_node_whose_loop_fails_ends_also_when_its_last_words_find_no_room():
    command = [sys.executable, "-c", DYING.format(error="apsw.FullError('it is full')")]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stderr=full, timeout=30, check=False).returncode == EXIT_LATER
