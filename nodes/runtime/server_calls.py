"""What every call to a node passes through: it is logged, admitted, carried out, and its error told.

A `RequestRefused` becomes its status; any other exception becomes INTERNAL with an id,
and its text goes to the log alone. Unary calls beyond what a node may carry at once are
refused, since gRPC itself would let them wait until their deadline.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from nodes.runtime.access import Gatekeeper, set_caller
from nodes.runtime.call_log import SERVED, CallLog
from nodes.runtime.event_log import shorten
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import REQUEST_ID_KEY, Context

_REQUEST_ID_MAX = 64
_UNARY_BYTES_MAX = 64 * 1024
_UNARY_CALLS_MAX = 2000
_WATCHING = frozenset(
    {
        "/interbank.v1.NodeService/GetStatus",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
    }
)
"""Asked every moment by whoever watches a node: in the log only when they fail, and
answered however busy the node is, so that nobody takes it for dead."""

Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[AsyncIterator[Message], Context], AsyncGenerator[Message, None]]


class ServerCalls(grpc.aio.ServerInterceptor):
    """Wraps each method of a server. What `Gatekeeper` refuses never reaches the method."""

    def __init__(self, gatekeeper: Gatekeeper, log: FilteringBoundLogger) -> None:
        self._gatekeeper = gatekeeper
        self._log = log
        self._unary_calls = 0

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped; None for an unknown method, which gRPC answers itself.

        None as well for streams of requests with one response: nothing here would guard them.
        """
        handler = await continuation(handler_call_details)
        if handler is None or handler.stream_unary:
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
            lines = self._log_call(method, context)
            self._unary_calls += 1
            try:
                lines.asked(request)
                if lines.payment_id:
                    bind_contextvars(payment_id=lines.payment_id)
                self._shed(method, request)
                set_caller(self._gatekeeper.admit(method, context))
                response = await behaviour(request, context)
                lines.answered(response)
            except Exception as error:
                await _fail(error, context, lines)
            finally:
                self._unary_calls -= 1
                lines.ended()
            return response

        return call

    def _wrap_stream(self, method: str, behaviour: Stream) -> Stream:
        async def call(requests: AsyncIterator[Message], context: Context) -> AsyncGenerator[Message, None]:
            lines = self._log_call(method, context)
            try:
                lines.opened()
                set_caller(self._gatekeeper.admit(method, context))
                async with aclosing(behaviour(lines.watch(requests), context)) as responses:
                    async for response in responses:
                        lines.passed(response)
                        yield response
                lines.closed()
            except Exception as error:
                await _fail(error, context, lines)
            finally:
                lines.ended()

        return call

    def _wrap_watch(self, method: str, behaviour: Unary) -> Unary:
        """Wrap a method that writes its responses itself, as the health service's Watch does."""

        async def call(request: Message, context: Context) -> Message:
            lines = self._log_call(method, context)
            try:
                lines.opened()
                set_caller(self._gatekeeper.admit(method, context))
                response = await behaviour(request, context)
                lines.closed()
            except Exception as error:
                await _fail(error, context, lines)
            finally:
                lines.ended()
            return response

        return call

    def _log_call(self, method: str, context: Context) -> CallLog:
        bind_contextvars(request_id=_request_id(context))
        known = {"rpc": method, "peer": _peer(context)}
        return CallLog(self._log, SERVED, known, is_quiet=method in _WATCHING)

    def _shed(self, method: str, request: Message) -> None:
        if self._unary_calls > _UNARY_CALLS_MAX and method not in _WATCHING:
            said = "this node has too many calls under way; try again later"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=0.5)
        if request.ByteSize() > _UNARY_BYTES_MAX:
            said = f"the request has more than {_UNARY_BYTES_MAX} bytes"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said)


async def _fail(error: Exception, context: Context, lines: CallLog) -> NoReturn:
    """Tell the caller of an error no more than is meant for it, and the log the whole of it."""
    if isinstance(error, grpc.aio.AbortError):
        lines.failed(context.code(), context.details())
        raise error
    if isinstance(error, RequestRefused):
        refusal = error
    else:
        refusal = RequestRefused(grpc.StatusCode.INTERNAL, f"internal error {lines.bug(error)}")
    lines.failed(refusal.code, refusal.message)
    await context.abort(refusal.code, refusal.message, refusal.trailing_metadata())
    raise AssertionError("abort returned")


def _peer(context: Context) -> str:
    """Name the caller for the log, however little is known of it."""
    uris = tuple(context.auth_context().get("peer_spiffe_id", ()))
    return shorten(uris[0].decode("ascii", "replace").partition("//")[2]) if uris else "no SPIFFE identity"


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and value.isascii() and len(value) <= _REQUEST_ID_MAX:
            return value
    return uuid4().hex[:16]
