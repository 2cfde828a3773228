"""How the prober asks the nodes, whatever carries the question: whom, how often, what it tells.

It talks JSON lines with the supervisor:

    in   {"watch": "HDFC", "address": "localhost:60051", "tls_name": "hdfc.bank.payments.local", "instance": "..."}
    in   {"forget": "HDFC"}
    out  {"node": "HDFC", "instance": "...", "is_ready": true, "not_ready_reason": "", "detail": {...}}
    out  {"node": "HDFC", "error": "...", "waited_s": 1.0, "asked_for": "..."}

A node is asked often until it is first ready, then every interval. Whether an answer is
the right instance's is for the supervisor to judge. At the end of its input it ends.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

FAST_INTERVAL_S = 0.05
_FAST_FOR_S = 10.0
"""After this long a node that is not ready is asked no oftener than the others."""


class Unreachable(Exception):
    """The node did not answer; the message says why."""


class Asker(Protocol):
    """What asks one node; one is made for each instance of it."""

    async def ask(self) -> dict[str, Any]:
        """Return the node's answer, or raise `Unreachable`."""

    async def close(self) -> None:
        """Let go of the connection."""


MakeAsker = Callable[[dict[str, Any]], Asker]
"""Makes the asker for a watch line."""


class Prober:
    """One task for each node that is watched; each answer is given to ``tell``."""

    def __init__(self, make_asker: MakeAsker, interval_s: float, tell: Callable[[dict[str, Any]], None]) -> None:
        self._make_asker = make_asker
        self._interval_s = interval_s
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def obey(self, order: dict[str, Any]) -> None:
        """Carry out one line of input."""
        node = order.get("watch") or order["forget"]
        task = self._tasks.pop(node, None)
        if task is not None:
            task.cancel()
        if "watch" in order:
            self._tasks[node] = asyncio.get_running_loop().create_task(self._watch(order))

    async def close(self) -> None:
        """End every task."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _watch(self, order: dict[str, Any]) -> None:
        asker = self._make_asker(order)
        fast_until_s = time.monotonic() + _FAST_FOR_S
        try:
            while True:
                asked_s = time.monotonic()
                answer = await _ask(asker, order)
                self._tell(answer)
                if answer.get("is_ready"):
                    fast_until_s = 0.0
                pause_s = FAST_INTERVAL_S if asked_s < fast_until_s else self._interval_s
                await asyncio.sleep(max(0.0, asked_s + pause_s - time.monotonic()))
        finally:
            await asker.close()


async def _ask(asker: Asker, order: dict[str, Any]) -> dict[str, Any]:
    asked_s = time.monotonic()
    try:
        return {"node": order["watch"], **await asker.ask()}
    except Unreachable as error:
        waited_s = round(time.monotonic() - asked_s, 3)
        return {"node": order["watch"], "error": str(error), "waited_s": waited_s, "asked_for": order["instance"]}


async def run_prober(make_asker: MakeAsker, interval_s: float) -> None:
    """Obey the lines of stdin and write the answers to stdout, until stdin ends."""
    orders = await _open_stdin()
    prober = Prober(make_asker, interval_s, _print_line)
    with suppress(BrokenPipeError):
        while line := await orders.readline():
            prober.obey(json.loads(line))
    await prober.close()


async def _open_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _print_line(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
