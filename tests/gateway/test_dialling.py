"""How the gateway dials a bank: again and again, never faster for that, and anew with each certificate."""

import asyncio

import structlog
from interbank.v1 import bank_pb2 as pb

from nodes.gateway import bank_link
from nodes.gateway.bank_link import BankEvents, BankLink, HeadsDiffer

TRIES = 2000


class Refused(BankLink):
    """A line that no bank takes; counts how often it is dialled."""

    def __init__(self):
        events = BankEvents(*[lambda *_: None] * 3, heads=None)
        super().__init__("HDFC", lambda *_: None, events, structlog.wrap_logger(None, [_drop]), token_keys=list)
        self.dialled = 0
        self._has_dialled = asyncio.Event()

    async def wait_for(self, tries):
        while self.dialled < tries:
            await asyncio.wait_for(self._has_dialled.wait(), 30)
            self._has_dialled.clear()

    async def _hold_streams(self):
        self.dialled += 1
        self._has_dialled.set()
        raise HeadsDiffer("its books are others")


class Opened:
    """A stream on which nothing is said."""

    def __init__(self):
        self._ends = asyncio.Event()

    async def carry(self):
        await self._ends.wait()

    def end(self):
        self._ends.set()


class Renewed(BankLink):
    """A line whose streams open when `let_open` says so."""

    def __init__(self):
        events = BankEvents(*[lambda *_: None] * 3, heads=None)
        super().__init__("HDFC", lambda *_: None, events, structlog.wrap_logger(None, [_drop]), token_keys=list)
        self._opening = asyncio.Semaphore(0)
        self.is_opening = asyncio.Event()

    async def let_open(self):
        """Let one stream open, and everything happen that comes of it."""
        await asyncio.wait_for(self.is_opening.wait(), 30)
        self.is_opening.clear()
        self._opening.release()
        for _ in range(10):
            await asyncio.sleep(0)

    async def _open_stream(self):
        self.is_opening.set()
        await self._opening.acquire()
        return Opened(), pb.TransactResponse()


def _drop(*_):
    raise structlog.DropEvent


async def test_a_bank_that_is_away_for_long_does_not_end_the_gateway(monkeypatch):
    monkeypatch.setattr(bank_link, "_RETRY_MAX_S", 0.0)
    line = Refused()
    line.dial("localhost:1")
    dialling = asyncio.create_task(line.run())
    await line.wait_for(TRIES)
    assert not dialling.done()
    dialling.cancel()


async def test_a_bank_that_calls_in_again_and_again_is_not_dialled_ever_faster():
    line = Refused()
    dialling = asyncio.create_task(line.run())
    for tries in range(1, 51):
        line.dial("localhost:1")
        await line.wait_for(tries)
    await asyncio.sleep(0)
    due = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
    assert len([handle for handle in due if handle._callback == line._dial_now.set]) == 1
    dialling.cancel()


async def test_a_line_counts_as_renewed_only_once_all_is_said_on_a_stream_that_was_opened_since():
    line = Renewed()
    assert line.is_renewed, "nothing is said on it at all"
    line.dial("localhost:1")
    dialling = asyncio.create_task(line.run())
    await line.let_open()
    assert line.is_renewed
    line.renew()
    await asyncio.wait_for(line.is_opening.wait(), 30)
    assert line.is_connected
    assert not line.is_renewed
    line.renew()  # once more, while the first is being done
    await line.let_open()
    assert not line.is_renewed
    await line.let_open()
    assert line.is_renewed
    dialling.cancel()


async def test_a_bank_that_has_moved_is_dialled_where_it_is_though_its_old_stream_still_stands():
    line = Renewed()
    line.dial("localhost:1")
    dialling = asyncio.create_task(line.run())
    await line.let_open()
    assert line.is_connected
    line.dial("localhost:2")
    assert line.address == "localhost:2"
    dialling.cancel()
