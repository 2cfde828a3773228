"""Payments of many threads on one stream."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from nodes.client.async_client import AsyncClient
from nodes.client.client import PAY_TIMEOUT_S, PaymentRequest, PaymentResult, Session
from nodes.runtime.tls import Tls

Answer = TypeVar("Answer")


class SharedClient:
    """An `AsyncClient` on an event loop of its own, for any number of threads; errors are the same."""

    def __init__(self, address: str, tls: Tls) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="payments", daemon=True)
        self._thread.start()
        self._client = self._run(_open(address, tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what is unanswered is unknown."""
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def log_in(self, user: str, password: str) -> Session:
        """Log in, as `AsyncClient.log_in`."""
        return self._run(self._client.log_in(user, password))

    def log_out(self) -> None:
        """End the login, here and at the gateway."""
        self._run(self._client.log_out())

    def pay(self, request: PaymentRequest, timeout_s: float = PAY_TIMEOUT_S) -> PaymentResult:
        """Pay, as `AsyncClient.pay`, and wait for the outcome."""
        return self._run(self._client.pay(request, timeout_s))

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _open(address: str, tls: Tls) -> AsyncClient:
    return AsyncClient(address, tls)  # a channel belongs to the loop that it is made on
