"""A port is shut to an address that somebody who is cut off keeps coming from, and to nobody else."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from nodes.runtime import door
from nodes.runtime.door import Door, Newcomers, find_listeners
from tests.running_nodes import wait_until


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def come(newcomers, host, ports):
    return [port for port in ports if newcomers.came((host, port))]


def test_whoever_comes_on_more_connections_than_is_borne_is_told_and_others_are_not():
    newcomers = Newcomers(Clock())
    assert come(newcomers, "10.0.0.1", range(12)) == [10, 11]
    assert not come(newcomers, "10.0.0.2", range(10))


def test_a_connection_counts_once_however_many_calls_come_on_it():
    newcomers = Newcomers(Clock())
    for _ in range(100):
        assert not come(newcomers, "10.0.0.1", range(10))


def test_what_has_come_is_forgotten_with_time():
    clock = Clock()
    newcomers = Newcomers(clock)
    for port in range(1000):
        assert not newcomers.came(("10.0.0.1", port))
        clock.now_s += 2
    assert come(newcomers, "10.0.0.1", range(1000, 1020))


def test_who_comes_again_when_the_door_opens_finds_it_shut_sooner_until_time_has_passed():
    clock = Clock()
    newcomers = Newcomers(clock)
    come(newcomers, "10.0.0.1", range(100))
    newcomers.distrust("10.0.0.1")
    assert come(newcomers, "10.0.0.1", range(1000, 1003)) == [1001, 1002]
    newcomers.distrust("10.0.0.1")
    clock.now_s += 18
    assert not come(newcomers, "10.0.0.1", range(2000, 2010))


def test_hosts_and_connections_are_forgotten_beyond_a_number_of_them():
    newcomers = Newcomers(Clock())
    for number in range(20_000):
        newcomers.came((f"10.0.{number % 200}.1", number))
    assert len(newcomers._lines) == 5000
    assert len(newcomers._comes) == 64


class Visited:
    """A listening port with a door, and who knocks."""

    def __init__(self, address, held):
        is_6 = ":" in address
        self.address = address
        self.held = held
        family = socket.AF_INET6 if is_6 else socket.AF_INET
        listening = socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::")
        self.listening = held.enter_context(listening)
        self.port = listening.getsockname()[1]
        self.told = []
        self.door = Door(self.told.append)
        self.door.port = self.port

    def connect(self, host, *, source=None):
        """Begin to connect; what comes of it is told by `is_in`."""
        line = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.held.enter_context(line)
        if source is not None:
            line.bind((source, 0))
        line.setblocking(False)
        line.connect_ex((host, self.port))
        return line

    def annoy(self, host):
        for port in range(20):
            self.door.came((host, port))


def is_in(line):
    try:
        line.getpeername()
    except OSError:
        return False
    return True


@pytest.fixture(params=[("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")])
async def visited(request, monkeypatch):
    monkeypatch.setattr(door, "SHUT_S", 0.5)
    listens_on, host = request.param
    with ExitStack() as held:
        visited = Visited(listens_on, held)
        visited.host = host
        yield visited


async def test_nobody_connects_from_there_while_it_is_shut_and_then_all_do(visited):
    before = visited.connect(visited.host)
    wait_until(lambda: is_in(before), "a connection")
    accepted, _ = visited.listening.accept()
    visited.annoy(visited.host)
    assert visited.told == [visited.host]
    meanwhile = visited.connect(visited.host)
    before.sendall(b"still here")
    assert accepted.recv(100) == b"still here"
    accepted.close()
    assert not is_in(meanwhile)
    while visited.door._shut_to:  # noqa: ASYNC110 - nobody but the kernel is told that it opens
        await asyncio.sleep(0.01)
    after = visited.connect(visited.host)
    wait_until(lambda: is_in(after), "a connection after that")
    wait_until(lambda: is_in(meanwhile), "TCP tries again")


async def test_others_connect_while_it_is_shut_to_one(visited):
    visited.annoy("10.0.0.1")
    visited.annoy("2001:db8::1")
    line = visited.connect(visited.host)
    wait_until(lambda: is_in(line), "a connection")


async def test_it_can_be_shut_to_many_at_once_and_not_to_any_number():
    with ExitStack() as held:
        visited = Visited("127.0.0.1", held)
        for number in range(2, 100):
            visited.annoy(f"127.0.0.{number}")
        assert len(visited.told) == 64
        shut_to = visited.connect("127.0.0.1", source="127.0.0.65")
        open_to = visited.connect("127.0.0.1", source="127.0.0.66")
        wait_until(lambda: is_in(open_to), "a connection")
        assert not is_in(shut_to)


async def test_a_port_that_nobody_listens_on_is_shut_to_nobody():
    told = []
    front = Door(told.append)
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        front.port = line.getsockname()[1]
        assert not list(find_listeners(front.port))
        for port in range(20):
            front.came(("127.0.0.1", port))
    assert told == []
