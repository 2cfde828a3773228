"""Bytes through the proxy: untouched without faults; late, kept back or cut off with them; healed without loss."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from orchestrator.links.addresses import Link
from orchestrator.links.faults import Fault, Kind
from orchestrator.links.relay import Relay
from tests.orchestrator.cluster_of_fakes import free_port

DEADLINE_S = 10.0
FOREVER_S = 1e9


class Line:
    """The link HDFC->gateway with a gateway behind it, and a bank's connection through it."""

    def __init__(self, relay: Relay, address: str, arrivals: "asyncio.Queue[Ends]") -> None:
        self.relay = relay
        self.writers: list[asyncio.StreamWriter] = []
        self._address = address
        self._arrivals = arrivals

    async def call(self) -> "Ends":
        host, _, port = self._address.rpartition(":")
        return self._keep(Ends(*await asyncio.open_connection(host, int(port))))

    async def answer(self) -> "Ends":
        """Return the gateway's end of the next connection that reaches it."""
        return self._keep(await asyncio.wait_for(self._arrivals.get(), DEADLINE_S))

    def _keep(self, ends: "Ends") -> "Ends":
        self.writers.append(ends.writer)
        return ends

    async def open(self) -> tuple["Ends", "Ends"]:
        return await self.call(), await self.answer()

    def break_by(self, text: str, for_s: float = FOREVER_S, **amounts: float) -> None:
        """Put one fault in the place of all others, written ``cut HDFC->gateway``; none for an empty text."""
        self.relay.set_faults(self._faults(text, for_s, **amounts))

    @staticmethod
    def _faults(text: str, for_s: float, **amounts: float) -> list[Fault]:
        if not text:
            return []
        kind, direction = text.split()
        source, target = direction.split("->")
        ends_at_s = asyncio.get_running_loop().time() + for_s
        return [Fault("f1", Kind(kind), source, target, ends_at_s, **amounts)]


class Ends:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, words: bytes) -> None:
        self.writer.write(words)

    async def hears(self, words: bytes) -> bool:
        return await asyncio.wait_for(self.reader.readexactly(len(words)), DEADLINE_S) == words

    async def hears_nothing(self, for_s: float = 0.05) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), for_s)
        except TimeoutError:
            return True
        return False

    async def end(self) -> bytes:
        """Return all until the connection ends; raises ConnectionResetError when it is reset."""
        return await asyncio.wait_for(self.reader.read(), DEADLINE_S)


@asynccontextmanager
async def make_line(*, is_up: bool = True) -> AsyncIterator[Line]:
    arrivals: asyncio.Queue[Ends] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: arrivals.put_nowait(Ends(*ends)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if not is_up:
        server.close()
    address = f"127.0.0.1:{free_port()}"
    relay = Relay([Link("HDFC", "gateway", address, f"127.0.0.1:{port}")], roll=lambda: 0.5)
    await relay.listen()
    line = Line(relay, address, arrivals)
    try:
        yield line
    finally:
        for writer in line.writers:
            writer.transport.abort()
        relay.close()
        server.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with make_line() as line:
        yield line


async def test_without_faults_bytes_pass_both_ways_and_so_does_the_end(line):
    bank, gateway = await line.open()
    bank.say(b"prepare")
    assert await gateway.hears(b"prepare")
    gateway.say(b"yes")
    assert await bank.hears(b"yes")
    large = bytes(range(256)) * 40_000
    bank.say(large)
    assert await gateway.hears(large)
    bank.writer.close()
    assert await gateway.end() == b""


async def test_a_delayed_direction_is_late_and_in_order_and_the_other_is_not(line):
    bank, gateway = await line.open()
    line.break_by("delay HDFC->gateway", delay_s=0.1, jitter_s=0.1)
    clock = asyncio.get_running_loop().time
    began_s = clock()
    for word in (b"a", b"b", b"c"):
        bank.say(word)
    gateway.say(b"now")
    assert await bank.hears(b"now")
    assert clock() - began_s < 0.15
    assert await gateway.hears(b"abc")
    assert clock() - began_s >= 0.15


async def test_a_cut_keeps_back_one_direction_and_loses_nothing(line):
    bank, gateway = await line.open()
    line.break_by("cut HDFC->gateway")
    bank.say(b"vote")
    gateway.say(b"prepare")
    assert await bank.hears(b"prepare")
    assert await gateway.hears_nothing()
    line.break_by("")
    assert await gateway.hears(b"vote")


async def test_a_partition_keeps_back_both_directions(line):
    bank, gateway = await line.open()
    line.break_by("partition gateway->HDFC")
    bank.say(b"vote")
    gateway.say(b"prepare")
    assert await bank.hears_nothing()
    assert await gateway.hears_nothing()
    line.break_by("")
    assert await gateway.hears(b"vote")
    assert await bank.hears(b"prepare")


async def test_a_fault_heals_by_itself_when_its_time_is_over(line):
    bank, gateway = await line.open()
    line.break_by("cut HDFC->gateway", for_s=0.1)
    bank.say(b"vote")
    assert await gateway.hears(b"vote")


async def test_each_of_several_faults_heals_in_its_own_time(line):
    bank, gateway = await line.open()
    soon, late = (*line._faults("cut HDFC->gateway", 0.1), *line._faults("delay gateway->HDFC", FOREVER_S))
    line.relay.set_faults([soon, late])
    bank.say(b"vote")
    assert await gateway.hears(b"vote")


async def test_what_a_delay_keeps_back_passes_as_soon_as_it_is_healed(line):
    bank, gateway = await line.open()
    line.break_by("delay HDFC->gateway", delay_s=FOREVER_S)
    bank.say(b"vote")
    assert await gateway.hears_nothing()
    line.break_by("")
    assert await gateway.hears(b"vote")


async def test_a_cut_holds_for_connections_that_are_opened_under_it(line):
    line.break_by("cut HDFC->gateway")
    bank = await line.call()
    bank.say(b"register")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.answer(), 0.05)
    line.break_by("")
    assert await (await line.answer()).hears(b"register")


async def test_the_death_of_a_peer_is_not_heard_through_a_cut(line):
    bank, gateway = await line.open()
    line.break_by("cut HDFC->gateway")
    bank.say(b"last words")
    bank.writer.transport.abort()
    assert await gateway.hears_nothing()
    line.break_by("")
    assert await gateway.end() == b"last words"


async def test_whoever_gives_up_under_a_cut_never_calls(line):
    line.break_by("cut HDFC->gateway")
    bank = await line.call()
    bank.writer.transport.abort()
    await until(lambda: not line.relay.connections)
    line.break_by("")
    again, gateway = await line.open()
    again.say(b"x")
    assert await gateway.hears(b"x")


async def test_a_reset_comes_in_the_middle_of_what_is_said_and_both_sides_see_it(line):
    bank, gateway = await line.open()
    line.break_by("reset HDFC->gateway")
    gateway.say(b"unharmed")
    assert await bank.hears(b"unharmed")
    bank.say(b"half")
    with pytest.raises(ConnectionResetError):
        await bank.end()
    with pytest.raises(ConnectionResetError):
        await gateway.end()
    line.break_by("")
    again, gateway = await line.open()
    again.say(b"whole")
    assert await gateway.hears(b"whole")


async def test_no_more_passes_than_the_limit(line):
    bank, gateway = await line.open()
    line.break_by("limit HDFC->gateway", bytes_per_s=100_000)
    clock = asyncio.get_running_loop().time
    began_s = clock()
    bank.say(bytes(10_000))
    assert await gateway.hears(bytes(10_000))
    assert clock() - began_s >= 0.09


async def test_what_is_kept_back_is_bounded_and_the_sender_waits(line):
    bank, gateway = await line.open()
    line.break_by("cut HDFC->gateway")
    flood = bytes(32 * 1024 * 1024)
    bank.say(flood)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bank.writer.drain(), 0.2)
    line.break_by("")
    assert await gateway.hears(flood)


async def test_a_call_to_a_node_that_is_down_is_reset():
    async with make_line(is_up=False) as line:
        bank = await line.call()
        with pytest.raises(ConnectionResetError):
            await bank.end()
        assert not line.relay.connections


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - the relay tells nobody
            await asyncio.sleep(0)
