"""Work that is paced: bounded at once, in order, and all else gets on in between."""

import asyncio
import time

import pytest

from nodes.runtime.pace import Pace


class Workers:
    """Do work of a millisecond each, as the pace lets them; ``done`` has (who, in which round of the loop)."""

    def __init__(self, pace):
        self.done = []
        self._pace = pace
        self._round = 0

    async def run(self, *pieces):
        """Have one worker for each number of pieces; the loop has something else to do all the while."""
        other = asyncio.create_task(self._count_rounds())
        async with asyncio.timeout(20):
            await asyncio.gather(*map(self.work, range(len(pieces)), pieces))
        other.cancel()

    async def work(self, who, pieces):
        await self._pace.begin(pieces)
        time.sleep(0.001)  # noqa: ASYNC251 - work that keeps the loop
        self.done.append((who, self._round))

    async def _count_rounds(self):
        while True:
            self._round += 1
            await asyncio.sleep(0)

    @property
    def rounds(self):
        return [number for _, number in self.done]


@pytest.fixture
def workers():
    return Workers(Pace(2))


async def test_all_else_gets_on_between_what_may_begin_at_once(workers):
    await workers.run(1, 1, 1, 1, 1, 1)
    assert [who for who, _ in workers.done] == list(range(6))
    assert workers.rounds[0::2] == workers.rounds[1::2]
    assert len(set(workers.rounds)) == 3


async def test_work_of_more_pieces_than_may_begin_at_once_begins_alone(workers):
    await workers.run(5, 1, 5)
    assert len(set(workers.rounds)) >= 2
    assert workers.rounds[0] < workers.rounds[1]


async def test_a_rest_is_as_long_as_the_work_was(workers):
    begins_s = time.perf_counter()
    await workers.run(2, 2, 2, 2)
    assert time.perf_counter() - begins_s >= (4 + 3) * 0.001


async def test_who_left_while_waiting_keeps_nobody_from_their_turn(workers):
    leaving = [asyncio.create_task(workers.work(who, 2)) for who in range(8)]
    await asyncio.sleep(0)
    for task in leaving[1:]:
        task.cancel()
    await workers.run(2)
    assert len(workers.done) == 2


async def test_who_comes_alone_does_not_wait():
    with pytest.raises(StopIteration):
        Pace(2).begin(5).send(None)
