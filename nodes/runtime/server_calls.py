"""What every call to a node passes through: it is logged, admitted, carried out, and its error told.

A `RequestRefused` becomes its status; any other exception becomes INTERNAL with an id,
and its text goes to the log alone. Unary calls beyond what a node may carry at once are
refused, since gRPC itself would let them wait until their deadline.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from nodes.runtime.access import Gatekeeper, set_caller
from nodes.runtime.event_log import count_items, describe
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context

_UNARY_BYTES_MAX = 64 * 1024
_UNARY_CALLS_MAX = 2000
_OWN_ID_MAX = 64
_QUIET = frozenset({"/interbank.v1.NodeService/GetStatus", "/grpc.health.v1.Health/Check"})
"""Asked every moment by whoever watches a node: in the log only when they fail."""

Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[AsyncIterator[Message], Context], AsyncIterator[Message]]


class ServerCalls(grpc.aio.ServerInterceptor):
    """Wraps each method of a server. What `Gatekeeper` refuses never reaches the method."""

    def __init__(self, gatekeeper: Gatekeeper, log: FilteringBoundLogger) -> None:
        self._gatekeeper = gatekeeper
        self._log = log
        self._unary_calls = 0

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped; None for an unknown method, which gRPC answers itself."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._wrap_unary(method, handler.unary_unary), **codecs)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._wrap_stream(method, handler.stream_stream), **codecs
            )
        return grpc.unary_stream_rpc_method_handler(self._wrap_watch(method, handler.unary_stream), **codecs)

    def _wrap_unary(self, method: str, behaviour: Unary) -> Unary:
        async def call(request: Message, context: Context) -> Message:
            line = _Line(self._log, method, context)
            line.asked(request)
            self._unary_calls += 1
            try:
                self._admit(method, request, context)
                response = await behaviour(request, context)
                line.answered(response)
            except Exception as error:
                await line.fail(error)
                raise
            finally:
                self._unary_calls -= 1
            return response

        return call

    def _wrap_stream(self, method: str, behaviour: Stream) -> Stream:
        async def call(requests: AsyncIterator[Message], context: Context) -> AsyncIterator[Message]:
            line = _Line(self._log, method, context)
            try:
                set_caller(self._gatekeeper.admit(method, context))
                line.opened()
                async for response in behaviour(line.watch(requests), context):
                    line.sent(response)
                    yield response
                line.closed()
            except Exception as error:
                await line.fail(error)

        return call

    def _wrap_watch(self, method: str, behaviour: Unary) -> Unary:
        """Wrap the health service's Watch, which writes its answers itself."""

        async def call(request: Message, context: Context) -> Message:
            try:
                set_caller(self._gatekeeper.admit(method, context))
            except RequestRefused as error:
                await _Line(self._log, method, context).fail(error)
            return await behaviour(request, context)

        return call

    def _admit(self, method: str, request: Message, context: Context) -> None:
        if self._unary_calls > _UNARY_CALLS_MAX:
            said = "this node has too many calls under way; try again later"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=0.5)
        if request.ByteSize() > _UNARY_BYTES_MAX:
            said = f"the request has more than {_UNARY_BYTES_MAX} bytes"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        set_caller(self._gatekeeper.admit(method, context))


class _Line:
    """The lines of one call in the log."""

    def __init__(self, log: FilteringBoundLogger, method: str, context: Context) -> None:
        self._log = log
        self._method = method
        self._context = context
        self._is_quiet = method in _QUIET
        self._began = time.perf_counter()
        self._peer = _peer(context)

    def asked(self, request: Message) -> None:
        payment_id = getattr(request, "payment_id", None)
        bind_contextvars(
            request_id=_request_id(self._context), **({"payment_id": payment_id} if payment_id else {})
        )
        if not self._is_quiet:
            self._log.info("request", rpc=self._method, peer=self._peer, **describe(request))

    def answered(self, response: Message) -> None:
        if not self._is_quiet:
            self._log.info("response", rpc=self._method, code="OK", ms=self._ms(), **describe(response))

    def opened(self) -> None:
        bind_contextvars(request_id=_request_id(self._context))
        self._log.info("stream_opened", rpc=self._method, peer=self._peer)

    async def watch(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        async for request in requests:
            self._log.info("stream_request", rpc=self._method, **count_items(request))
            yield request

    def sent(self, response: Message) -> None:
        self._log.info("stream_response", rpc=self._method, **count_items(response))

    def closed(self) -> None:
        self._log.info("stream_closed", rpc=self._method, code="OK", ms=self._ms())

    async def fail(self, error: Exception) -> None:
        """Tell the caller an error, and the log the whole of it. Never returns."""
        if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
            raise error
        if not isinstance(error, RequestRefused):
            error_id = uuid4().hex[:8]
            self._log.error("internal_error", error_id=error_id, rpc=self._method, exc_info=error)
            error = RequestRefused(grpc.StatusCode.INTERNAL, f"internal error {error_id}")
        self._log.info(
            "response",
            rpc=self._method,
            peer=self._peer,
            code=error.code.name,
            details=error.message,
            ms=self._ms(),
        )
        await self._context.abort(error.code, error.message, error.trailing_metadata())

    def _ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)


def _peer(context: Context) -> str:
    """Name the caller for the log, however little is known of it."""
    uris = tuple(context.auth_context().get("peer_spiffe_id", ()))
    return uris[0].decode("ascii", "replace").partition("//")[2] if uris else "no SPIFFE identity"


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id" and isinstance(value, str) and value.isascii() and len(value) <= _OWN_ID_MAX:
            return value
    return uuid4().hex[:16]
