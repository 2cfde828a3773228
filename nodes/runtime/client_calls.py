"""The caller's side of the request log: a line for each request that leaves and each answer that comes.

Unary calls carry the request id of the call that they are made for, so that the logs of
both nodes can be read together. Without an event loop only unary calls are logged.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from structlog.contextvars import get_contextvars
from structlog.typing import FilteringBoundLogger

from nodes.core.names import Identity
from nodes.runtime.call_log import CALLED, CallLog
from nodes.runtime.rpc import REQUEST_ID_KEY


def log_calls(log: FilteringBoundLogger, peer: Identity) -> list[grpc.aio.ClientInterceptor]:
    """Return what `nodes.runtime.tls.dial` needs to log every call to ``peer``, unary and streamed."""
    return [ClientCalls(log, peer), ClientStreams(log, peer)]


class ClientCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel with an event loop."""

    def __init__(self, log: FilteringBoundLogger, peer: Identity | None = None) -> None:
        self._log = log
        self._peer = peer

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Let a call go, and note how it went."""
        request_id = _request_id()
        lines = _open_log(self._log, self._peer, client_call_details, request_id)
        lines.asked(request)
        metadata = (*(client_call_details.metadata or ()), (REQUEST_ID_KEY, request_id))
        details = client_call_details._replace(metadata=grpc.aio.Metadata(*metadata))
        try:
            call = await continuation(details, request)
            lines.answered(await call)
        except grpc.aio.AioRpcError as error:
            lines.failed(error.code(), error.details())
            raise
        finally:
            lines.ended()
        return call


class ClientStreams(grpc.aio.StreamStreamClientInterceptor):
    """Logs the bidirectional streams of a channel with an event loop.

    Whoever writes to a stream that has just ended meets ``asyncio.InvalidStateError``
    as often as the error that ended it: be ready for both.
    """

    def __init__(self, log: FilteringBoundLogger, peer: Identity | None = None) -> None:
        self._log = log
        self._peer = peer

    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Let a stream begin, and note each message both ways."""
        lines = _open_log(self._log, self._peer, client_call_details, _request_id())
        lines.opened()
        call = await continuation(client_call_details, lines.watch(_each(request_iterator)))
        return _pass_on(call, lines)


class BlockingClientCalls(grpc.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel without an event loop."""

    def __init__(self, log: FilteringBoundLogger, peer: Identity | None = None) -> None:
        self._log = log
        self._peer = peer

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        """Let a call go, and note how it went once it has ended."""
        request_id = _request_id()
        lines = _open_log(self._log, self._peer, client_call_details, request_id)
        lines.asked(request)
        metadata = (*(client_call_details.metadata or ()), (REQUEST_ID_KEY, request_id))
        call = continuation(client_call_details._replace(metadata=metadata), request)
        call.add_done_callback(lambda done: _note_outcome(done, lines))
        return call


async def _pass_on(call: Any, lines: CallLog) -> AsyncIterator[Message]:
    try:
        async for response in call:
            lines.passed(response)
            yield response
        lines.closed()
    except grpc.aio.AioRpcError as error:
        lines.failed(error.code(), error.details())
        raise
    finally:
        lines.ended()


async def _each(requests: AsyncIterable[Message] | Iterable[Message]) -> AsyncIterator[Message]:
    """Iterate over what gRPC takes as requests."""
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _note_outcome(done: Any, lines: CallLog) -> None:
    if done.code() is grpc.StatusCode.OK:
        lines.answered(done.result())
    else:
        lines.failed(done.code(), done.details())


def _open_log(log: FilteringBoundLogger, peer: Identity | None, details: Any, request_id: str) -> CallLog:
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    known = {"rpc": method, "request_id": request_id}
    if peer is not None:
        known["peer"] = f"{peer.cluster}/{peer.path}"
    return CallLog(log, CALLED, known)


def _request_id() -> str:
    """Return the id of the request that is being answered here, or a new one."""
    return get_contextvars().get("request_id") or uuid4().hex[:16]
