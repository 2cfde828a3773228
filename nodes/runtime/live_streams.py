"""The streams that are open at a server, so that those of a caller who is cut off can be ended at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context


@dataclass(eq=False, slots=True)
class _Live:
    context: Context
    task: "asyncio.Task[object]"
    refusal: RequestRefused | None = None


class LiveStreams:
    """All of one server. For one event loop."""

    def __init__(self) -> None:
        self._live: set[_Live] = set()

    @contextmanager
    def hold(self, context: Context) -> Iterator[None]:
        """Keep the stream of this task in view; raises `RequestRefused` in it when it is ended from here."""
        task = asyncio.current_task()
        assert task is not None, "gRPC calls methods in tasks"
        live = _Live(context, task)
        self._live.add(live)
        try:
            yield
        except asyncio.CancelledError:
            if live.refusal is None:
                raise
            task.uncancel()
            raise live.refusal from None
        finally:
            self._live.discard(live)

    def end_refused(self, demand: Callable[[Context], object]) -> None:
        """End each stream for whose context ``demand`` raises `RequestRefused`, with that."""
        for live in self._live:
            try:
                demand(live.context)
            except RequestRefused as refusal:
                live.refusal = refusal
                live.task.cancel()
