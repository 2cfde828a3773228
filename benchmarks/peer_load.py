"""One load on the two PostgreSQL servers, measured as ours is, and their books afterwards."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.decision_log import DecisionLog
from benchmarks.figures import Figures
from benchmarks.peer import Accounts, Pair, Way
from benchmarks.servers import ACCOUNTS, OPENING, Server
from orchestrator.benchmark.latencies import Latencies

_LANES_MAX = 32
"""Pairs of connections: more callers than these wait for one, since more backends are slower."""

MakeWay = Callable[[Pair, Accounts, DecisionLog], Way]


class BooksNotClean(Exception):
    """The peer lost or made money; the message says what."""


class _Clock:
    """Counts what ends within the time that counts."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.paid = 0
        self.is_over = False
        self._from_s = self._to_s = float("inf")

    def begin(self) -> None:
        self._from_s = time.perf_counter()

    def end(self) -> float:
        self._to_s = time.perf_counter()
        self.is_over = True
        return self._to_s - self._from_s

    def record(self, sent_s: float, payments: int) -> None:
        now_s = time.perf_counter()
        self.paid += payments
        if self._from_s <= now_s < self._to_s:
            self.latencies.add(now_s - sent_s, payments)


async def measure_peer(
    servers: tuple[Server, Server], make_way: MakeWay, callers: int, for_s: float, log: Path
) -> Figures:
    """Let so many callers pay for a time; raises `BooksNotClean`."""
    before = await _count_entries(servers)
    for server in servers:
        await _ask(server, "CHECKPOINT")
    clock = _Clock()
    async with AsyncExitStack() as stack:
        decisions = stack.enter_context(DecisionLog(log))
        idle: asyncio.Queue[Way] = asyncio.Queue()
        lanes = min(2 * callers, _LANES_MAX)
        for lane in range(lanes):
            pair = Pair(*[await server.connect() for server in servers])
            for connection in pair:
                stack.push_async_callback(connection.close)
            idle.put_nowait(make_way(pair, Accounts(lane, lanes), decisions))
        # Ends when all is finished; an error of any ends the others.
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for _ in range(callers):
            group.create_task(_pay_until_over(idle, clock, group))
        await asyncio.sleep(max(0.5, for_s / 10))
        clock.begin()
        spent_s = -_cpu_s(servers)
        await asyncio.sleep(for_s)
        spent_s += _cpu_s(servers)
        measured_s = clock.end()
    await _check_books(servers, before + clock.paid)
    return Figures.of(clock.latencies, measured_s, spent_s)


async def _pay_until_over(idle: "asyncio.Queue[Way]", clock: _Clock, group: asyncio.TaskGroup) -> None:
    """Be one caller: takes a lane, is answered, and leaves what is left to do there to others."""
    while not clock.is_over:
        sent_s = time.perf_counter()
        way = await idle.get()
        await way.pay()
        clock.record(sent_s, way.payments)
        group.create_task(_finish(way, idle))


async def _finish(way: Way, idle: "asyncio.Queue[Way]") -> None:
    await way.finish()
    idle.put_nowait(way)


def _cpu_s(servers: tuple[Server, Server]) -> float:
    """Return what servers and coordinator have taken of the processor."""
    return time.process_time() + sum(server.cpu_s() for server in servers)


async def _count_entries(servers: tuple[Server, Server]) -> int:
    return (await _ask(servers[0], "SELECT count(*) FROM entry"))[0]


async def _check_books(servers: tuple[Server, Server], paid: int) -> None:
    """Demand that nothing is prepared any more, that each payment is in both books, and all money still there."""
    query = (
        "SELECT (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM entry), sum(posted) FROM account"
    )
    (first_open, first_entries, first_sum), (second_open, second_entries, second_sum) = [
        await _ask(server, query) for server in servers
    ]
    if first_open or second_open:
        raise BooksNotClean(f"{first_open + second_open} transactions are prepared and not decided")
    if (first_entries, second_entries) != (paid, paid):
        raise BooksNotClean(f"{paid} were paid; the books have {first_entries} and {second_entries} entries")
    if first_sum + second_sum != 2 * ACCOUNTS * OPENING:
        raise BooksNotClean(f"customers own {first_sum + second_sum} of {2 * ACCOUNTS * OPENING}")


async def _ask(server: Server, query: str) -> tuple[int, ...]:
    connection = await server.connect()
    try:
        row = await connection.fetchrow(query)
        return tuple(map(int, row or ()))
    finally:
        await connection.close()
