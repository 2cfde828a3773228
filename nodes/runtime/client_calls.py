"""The caller's side of the request log: a line for each request that leaves and each answer that comes."""

import time
from collections.abc import Callable
from typing import Any

import grpc
from structlog.typing import FilteringBoundLogger

from nodes.runtime.event_log import describe


class ClientCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel with an event loop."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Let a call go, and note how it went."""
        began = time.perf_counter()
        method = _text(client_call_details.method)
        self._log.info("call", rpc=method, **describe(request))
        try:
            response = await (await continuation(client_call_details, request))
        except grpc.aio.AioRpcError as error:
            _note_failure(self._log, method, error.code(), error.details(), began)
            raise
        self._log.info("answer", rpc=method, code="OK", ms=_ms(began), **describe(response))
        return response


class BlockingClientCalls(grpc.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel without an event loop."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Let a call go, and note how it went."""
        began = time.perf_counter()
        method = _text(client_call_details.method)
        self._log.info("call", rpc=method, **describe(request))
        call = continuation(client_call_details, request)
        if call.code() is grpc.StatusCode.OK:
            self._log.info("answer", rpc=method, code="OK", ms=_ms(began), **describe(call.result()))
        else:
            _note_failure(self._log, method, call.code(), call.details(), began)
        return call


def _note_failure(
    log: FilteringBoundLogger, method: str, code: grpc.StatusCode, details: str | None, began: float
) -> None:
    log.info("answer", rpc=method, code=code.name, details=details, ms=_ms(began))


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
