"""The gateway's loop: how many payments share a turn, and who waits for whom."""

import asyncio
import time
from types import SimpleNamespace

import apsw
import pytest

from nodes.core.authority import Authority
from nodes.core.coordinator import Coordinator
from nodes.core.messages import Payment
from nodes.gateway import loop as gateway_loop
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.store import SCHEMA, GatewayStore

CALLERS = 24
AUTHORITY = Authority("a token", 0, 0)


class Bank:
    """Takes what is sent to it, and says nothing."""

    def __init__(self, name):
        self.name = name
        self.turns = []
        """How many prepares each turn has sent that has sent some."""
        self._sent = asyncio.Event()

    def send(self, batch):
        if batch.prepares:
            self.turns.append(len(batch.prepares))
            self._sent.set()

    async def wait_for(self, prepares):
        while sum(self.turns) < prepares:
            await asyncio.wait_for(self._sent.wait(), 30)
            self._sent.clear()


@pytest.fixture
async def gateway():
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    coordinator = Coordinator(epoch=1, last_sequence=0, timeout_ms=60_000)
    loop = GatewayLoop(coordinator, GatewayStore(connection), record=lambda _: None, report=lambda _: None)
    for name in ("HDFC", "ICICI"):
        loop.add_bank(Bank(name))
        loop.bank_events().connected(name, SimpleNamespace(in_doubt=()))
    running = asyncio.create_task(loop.run())
    yield loop
    running.cancel()


@pytest.fixture
def slept(monkeypatch):
    """How long the loop has slept, each time that it has."""
    times = []

    async def sleep(seconds):
        times.append(seconds)

    monkeypatch.setattr(gateway_loop, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    return times


def payment(number):
    return Payment(number.to_bytes(16, "big"), "alice", "ICICI", "bob", "HDFC", 1, "INR", "")


async def pay_one_by_one(loop, callers):
    """Let callers come, one with each round of the event loop; return how many prepares each turn has sent."""

    async def pay(number):
        for _ in range(number):
            await asyncio.sleep(0)
        await loop.pay(payment(number), AUTHORITY)

    bank = loop.links["ICICI"]
    calls = [asyncio.create_task(pay(number)) for number in range(1, callers + 1)]
    await bank.wait_for(callers)
    for call in calls:
        call.cancel()
    return bank.turns


async def test_payments_of_many_callers_that_come_one_by_one_share_turns(gateway):
    turns = await pay_one_by_one(gateway, CALLERS)
    assert sum(turns) == CALLERS
    assert len(turns) <= CALLERS / 2


async def test_without_gathering_each_would_have_a_turn_of_its_own(gateway, monkeypatch):
    monkeypatch.setattr(gateway_loop, "_SEVERAL", CALLERS + 1)
    assert len(await pay_one_by_one(gateway, CALLERS)) > CALLERS / 2


async def test_few_callers_wait_for_nobody(gateway, slept):
    await pay_one_by_one(gateway, gateway_loop._SEVERAL - 1)
    assert slept == []


async def test_payments_that_come_together_wait_for_nobody(gateway, slept):
    gateway.begin_many((payment(number), lambda _: None, AUTHORITY) for number in range(1, CALLERS + 1))
    bank = gateway.links["ICICI"]
    await bank.wait_for(CALLERS)
    assert slept == []
    assert bank.turns == [CALLERS]


async def test_gathering_ends_however_many_come(gateway, monkeypatch):
    clock = iter(range(1_000_000))
    naps = []

    async def sleep(seconds):
        naps.append(seconds)
        gateway.begin(payment(1000 + len(naps)), lambda _: None, AUTHORITY)

    monkeypatch.setattr(gateway_loop, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    # Each look at the clock finds it 0.1 ms later.
    still = SimpleNamespace(**vars(time) | {"monotonic": lambda: next(clock) / 10_000})
    monkeypatch.setattr(gateway_loop, "time", still)
    await pay_one_by_one(gateway, gateway_loop._SEVERAL)
    assert len(naps) <= gateway_loop._GATHERING_S_MAX * 10_000
