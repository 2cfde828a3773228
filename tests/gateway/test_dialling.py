"""How the gateway dials a bank that does not let it in: again and again, and never faster for that."""

import asyncio

import structlog

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
