"""Failed handshakes leave a line a second in the log, with how many there were and why."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from nodes.runtime.event_log import open_event_log
from nodes.runtime.failed_handshakes import FailedHandshakes

PRINTED = (
    "I1125 03:42:19.400304   31711 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL:"
    " error:100000c0:SSL routines:OPENSSL_internal:{}\n"
)
NO_CERTIFICATE = PRINTED.format("PEER_DID_NOT_RETURN_A_CERTIFICATE: Invalid certificate verification context")
EXPIRED = PRINTED.format("CERTIFICATE_VERIFY_FAILED: certificate has expired")


@pytest.fixture
def printed(tmp_path):
    with (tmp_path / "node.stderr").open("a") as file:
        yield file


@pytest.fixture
def told(tmp_path):
    log = open_event_log(tmp_path / "node.log", "node")

    def read():
        lines = map(json.loads, (tmp_path / "node.log").read_text().splitlines())
        return [(line["count"], line["reasons"]) for line in lines if line["event"] == "handshakes_failed"]

    read.log = log
    return read


def write(file, text):
    file.write(text)
    file.flush()


def test_those_since_the_last_look_are_counted_by_reason(printed, told):
    write(printed, EXPIRED)
    failed = FailedHandshakes(told.log, printed.fileno())
    failed.look()
    assert not told(), "what was there before is another process's"
    write(printed, NO_CERTIFICATE * 3 + "fatal: something else\n" + EXPIRED)
    failed.look()
    failed.look()
    assert told() == [
        (
            4,
            {
                "PEER_DID_NOT_RETURN_A_CERTIFICATE": 3,
                "CERTIFICATE_VERIFY_FAILED: certificate has expired": 1,
            },
        )
    ]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(printed, told):
    failed = FailedHandshakes(told.log, printed.fileno())
    write(printed, EXPIRED[:-10])
    failed.look()
    assert not told()
    write(printed, EXPIRED[-10:])
    failed.look()
    assert [count for count, _ in told()] == [1]


def test_what_is_cut_short_meanwhile_is_not_read_twice(printed, told):
    failed = FailedHandshakes(told.log, printed.fileno())
    write(printed, EXPIRED * 100)
    failed.look()
    printed.truncate(len(EXPIRED) * 10)
    failed.look()
    write(printed, NO_CERTIFICATE)
    failed.look()
    assert [count for count, _ in told()] == [100, 1]


def test_a_flood_is_read_in_part_and_told_in_one_line(printed, told):
    failed = FailedHandshakes(told.log, printed.fileno())
    write(printed, EXPIRED * 20_000)
    failed.look()
    [(count, _)] = told()
    assert 4000 < count < 20_000


async def test_a_terminal_is_left_alone(told):
    reading, writing = os.pipe()
    await asyncio.wait_for(FailedHandshakes(told.log, writing).run(), 5)
    os.close(reading)
    os.close(writing)
    assert not told()


def test_what_grpc_prints_today_is_understood(tmp_path):
    """A server in a process of its own, with a file as its stderr, met by a stranger."""
    program = """
import asyncio, pathlib, sys
from nodes.runtime.failed_handshakes import FailedHandshakes
from tests.runtime.served import Served, fails, login
import grpc

async def main(folder):
    served = Served(folder)
    failed = FailedHandshakes(served.server._log)
    await served.server.start()
    credentials = grpc.ssl_channel_credentials(served.authority.ca.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{served.server.port}", credentials) as channel:
        await fails(login(channel))
    async with asyncio.timeout(10):
        while not served.lines("handshakes_failed"):
            failed.look()
            await asyncio.sleep(0.05)
    await served.server.stop(0)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""
    with (tmp_path / "stderr").open("ab") as stderr:
        environment = {**os.environ, "PYTHONPATH": ".:proto"}
        command = [sys.executable, "-c", program, str(tmp_path)]
        done = subprocess.run(command, env=environment, stderr=stderr, timeout=60, check=False)
    assert done.returncode == 0, (tmp_path / "stderr").read_text()
    lines = map(json.loads, (tmp_path / "gateway.log").read_text().splitlines())
    [line, *_] = [line for line in lines if line["event"] == "handshakes_failed"]
    assert line["reasons"].keys() == {"PEER_DID_NOT_RETURN_A_CERTIFICATE"}
