"""What the supervisor does for each request of the control socket.

============================================  ==========================================
request                                       answers
============================================  ==========================================
``status``                                    all nodes, once
``watch``                                     all nodes, now, at every change, every second
``events`` ``count`` ``follow``               the last events, then those to come
``restart`` ``node``                          once: the restart has begun
``kill``, ``pause`` [``hold``], ``resume``    once: it is done
``pause`` ``for_s``                           the same every second, until it is thawed: when its
                                              time is over, or the one who asks hangs up
``inject`` and what `Fault.write` gives       the fault, at least every second, until it ends;
                                              it ends when the one who asks hangs up
``heal`` ``id`` (``*``: all)                  the faults that it ended
``stop``                                      all nodes, until all are down
============================================  ==========================================
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from orchestrator.supervision.control import Message
from orchestrator.supervision.keeper import Keeper

if TYPE_CHECKING:
    from orchestrator.supervision.supervisor import Supervisor

_EVENTS_MAX = 1000
_PULSE_S = 1.0
"""What goes on says so at least this often, so that each side notices when the other is gone."""
_PAUSED_MAX_S = 3600.0
_DONE: Message = {"done": True}


async def answer(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    """Carry one request out. ValueError and LookupError say why it cannot be."""
    do = _REQUESTS.get(request["do"])
    if do is None:
        raise ValueError(f"the supervisor knows no request {request['do'][:50]!r}")
    async with aclosing(do(supervisor, request)) as messages:
        async for message in messages:
            yield message


async def _status(supervisor: "Supervisor", _: Message) -> AsyncGenerator[Message, None]:
    yield supervisor.describe()


async def _watch(supervisor: "Supervisor", _: Message) -> AsyncGenerator[Message, None]:
    while True:
        seen = supervisor.version
        yield supervisor.describe()
        await _wait_for_change(supervisor, seen)


async def _events(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    count = request.get("count", _EVENTS_MAX)
    if not isinstance(count, int) or count < 0:
        raise ValueError("'count' must be a number of events")
    for entry in supervisor.journal.recent(count):
        yield dict(entry)
    if request.get("follow"):
        async for entry in supervisor.journal.follow():
            yield dict(entry)


async def _restart(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    keeper = _find(supervisor, request)
    if supervisor.is_stopping:
        raise ValueError("the cluster is going down; nothing is started any more")
    keeper.restart()
    yield _DONE


async def _kill(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    _find(supervisor, request).kill()
    yield _DONE


async def _pause(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    keeper, for_s = _find(supervisor, request), request.get("for_s")
    if for_s is None:
        keeper.pause(is_held=bool(request.get("hold")))
        yield _DONE
        return
    if not isinstance(for_s, int | float) or not 0 < for_s <= _PAUSED_MAX_S:
        raise ValueError(f"a node can be paused for more than 0 and at most {_PAUSED_MAX_S:g} s")
    keeper.pause(is_held=True)
    ends_s = asyncio.get_running_loop().time() + for_s
    try:
        while (left_s := ends_s - asyncio.get_running_loop().time()) > 0:
            yield _DONE
            await asyncio.sleep(min(left_s, _PULSE_S))
    finally:
        keeper.thaw()


async def _resume(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    _find(supervisor, request).resume()
    yield _DONE


async def _inject(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    fields = {name: value for name, value in request.items() if name != "do"}
    async with aclosing(supervisor.injector.inject(fields)) as faults:
        async for fault in faults:
            yield {"fault": fault.write(asyncio.get_running_loop().time())}


async def _heal(supervisor: "Supervisor", request: Message) -> AsyncGenerator[Message, None]:
    ended = supervisor.injector.heal(str(request.get("id")))
    yield {"healed": [str(fault) for fault in ended]}


async def _stop(supervisor: "Supervisor", _: Message) -> AsyncGenerator[Message, None]:
    supervisor.stop()
    while not supervisor.is_down:
        seen = supervisor.version
        yield supervisor.describe()
        await _wait_for_change(supervisor, seen)
    yield supervisor.describe()


async def _wait_for_change(supervisor: "Supervisor", seen: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PULSE_S):
            await supervisor.wait_for_change(seen)


def _find(supervisor: "Supervisor", request: Message) -> Keeper:
    name = request.get("node")
    keeper = supervisor.keepers.get(name) if isinstance(name, str) else None
    if keeper is None:
        raise LookupError(f"no node is called {str(name)[:50]!r}; there are {', '.join(supervisor.keepers)}")
    return keeper


_REQUESTS: dict[str, Callable[["Supervisor", Message], AsyncGenerator[Message, None]]] = {
    "status": _status,
    "watch": _watch,
    "events": _events,
    "restart": _restart,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "inject": _inject,
    "heal": _heal,
    "stop": _stop,
}
