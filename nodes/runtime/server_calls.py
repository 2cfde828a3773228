"""What every call to a node passes through: it is logged, admitted, carried out, and its error told.

A method is wrapped once, when it is registered: gRPC's interceptors would be asked, and
make the method's handler anew, for each call.

A `RequestRefused` becomes its status; any other exception becomes INTERNAL with an id,
and its text goes to the log alone. One that says that the disk has failed ends the
process. Calls beyond what a node may carry at once are refused (`nodes.runtime.capacity`),
since gRPC itself would let them wait until their deadline. A certificate that takes back too many
of its calls is cut off (`nodes.runtime.wasted_calls`).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from os import urandom
from typing import Any, NamedTuple, NoReturn

import grpc
from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from nodes.runtime.access import Caller, Gatekeeper, set_caller
from nodes.runtime.call_log import SERVED, CallLog
from nodes.runtime.capacity import STREAMS_MAX, UNARY_CALLS_MAX, Capacity, Refusals
from nodes.runtime.connections import Cutter, parse_peer
from nodes.runtime.database import DISK_FAILURES
from nodes.runtime.decoding import (
    STREAM_BYTES_MAX,
    UNARY_BYTES_MAX,
    Request,
    demand_message,
    guard,
)
from nodes.runtime.door import SHUT_S, Door
from nodes.runtime.event_log import shorten, use_context
from nodes.runtime.flags import die_of
from nodes.runtime.live_streams import LiveStreams
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import REQUEST_ID_KEY, Context, Metadata
from nodes.runtime.tls import Peer, read_peer
from nodes.runtime.wasted_calls import CUT_OFF_S, UnaskedAlarm, WastedCalls

_REQUEST_ID_MAX = 64
_WAITING_MAX = 4096
_WAIT_MAX_S = 1.0
"""Calls that wait to be told that they are refused, and how long."""
_WATCHING = frozenset(
    {
        "/interbank.v1.NodeService/GetStatus",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    }
)
"""Asked every moment by whoever watches a node: in the log only when they fail, and
with room of their own, so that nobody takes a busy node for dead."""

Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[AsyncIterator[Message], Context], AsyncGenerator[Message, None]]


class Denial(NamedTuple):
    """A call that its caller may not make: by which certificate, and which user and payment it names."""

    rpc: str
    peer: str
    thumbprint: str
    code: str
    details: str
    about: dict[str, Any]


_TAKEN_BACK = f"too many calls were taken back: this certificate is cut off for {CUT_OFF_S:g} s"
_COMES_ANEW = f"a certificate that is cut off keeps connecting from there: nobody there can for {SHUT_S:g} s"
_DENIED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
_TOLD_LATE = (*_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""What whoever is refused too often learns late; other codes say what is wrong with a request, or befell it."""


class _Incoming(NamedTuple):
    """A call as it has come: each is read from gRPC once, which makes it anew each time."""

    method: str
    context: Context
    peer: Peer
    metadata: Metadata
    request_id: str
    lines: CallLog


class ServerCalls:
    """Wraps each method of a server. What `Gatekeeper` refuses never reaches the method.

    ``denied`` is told of each call that its caller may not make.
    """

    def __init__(
        self, gatekeeper: Gatekeeper, log: FilteringBoundLogger, denied: Callable[[Denial], None] = lambda _: None
    ) -> None:
        self._denied = denied
        self._gatekeeper = gatekeeper
        self._log = log
        self._unary_calls = Capacity("calls", UNARY_CALLS_MAX)
        self._looks = Capacity("looks", UNARY_CALLS_MAX)
        self._streams = Capacity("streams", STREAMS_MAX)
        self._watches = Capacity("watches", STREAMS_MAX)
        self._refusals = Refusals(time.monotonic)
        self._waiting = 0
        self._live = LiveStreams()
        self._wasted = WastedCalls(time.monotonic)
        self._cutter = Cutter(lambda count: log.warning("connections_cut", count=count))
        self._door = Door(lambda host: log.warning("door_shut", host=host, details=_COMES_ANEW))
        self.alarm = UnaskedAlarm(time.monotonic)

    def listen_on(self, port: int) -> None:
        """Know the port that calls come in on."""
        self._door.port = port

    def close(self) -> None:
        """Let go of the connections that are being cut off."""
        self._cutter.close()

    def end_refused(self) -> None:
        """End the streams of those whose certificate counts no more."""
        self._live.end_refused(lambda context: self._gatekeeper.identify(read_peer(context.auth_context())))

    def wrap(self, method: str, handler: Any) -> Any:
        """Return the handler of ``method`` (``/package.Service/Method``), wrapped.

        Raises ValueError for a stream of requests with one response: nothing here would guard it.
        """
        bytes_max = STREAM_BYTES_MAX if handler.request_streaming else UNARY_BYTES_MAX
        codecs = {
            "request_deserializer": guard(handler.request_deserializer, bytes_max),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._wrap_unary(method, handler.unary_unary), **codecs)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._wrap_stream(method, handler.stream_stream), **codecs
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._wrap_watch(method, handler.unary_stream), **codecs)
        raise ValueError(f"{method} takes a stream and gives one response: nothing guards such a call")

    def wrap_early(self, method: str, wrapped: Any) -> Any:
        """Return a handler that answers as ``wrapped`` does, and learns who calls before the request has come.

        It costs each call one step more, so it is for when there is an alarm. None stands for an unknown method.
        """
        if wrapped is not None and wrapped.request_streaming:
            return wrapped

        async def begin(_: object, context: Context) -> None:
            self._cut_if_cut_off(context, read_peer(context.auth_context()))
            if wrapped is None:
                self._waste(method, context)
                said = "Method not found!"
                await self._tell(method, context, RequestRefused(grpc.StatusCode.UNIMPLEMENTED, said))
            asked = await self._wait_for_request(method, context)
            if wrapped.response_streaming:
                await wrapped.unary_stream(asked, context)
            else:
                await context.write(await wrapped.unary_unary(asked, context))

        decode, encode = (wrapped.request_deserializer, wrapped.response_serializer) if wrapped else (None, None)
        return grpc.stream_stream_rpc_method_handler(begin, decode, encode)

    async def _wait_for_request(self, method: str, context: Context) -> Any:
        try:
            asked: Any = await context.read()
        except asyncio.CancelledError:
            self._waste(method, context)
            raise
        if asked is grpc.aio.EOF:
            said = "the call has no request"
            await self._tell(method, context, RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, said))
        return asked

    def _wrap_unary(self, method: str, behaviour: Unary) -> Unary:
        capacity = self._looks if method in _WATCHING else self._unary_calls

        async def call(asked: Request, context: Context) -> Message:
            incoming = self._look_at(method, context)
            if self._wasted:
                await self._turn_away(incoming)
            lines = incoming.lines
            try:
                request = demand_message(asked)
                lines.asked(request)
                caller = self._admit(incoming, capacity)
                try:
                    response = await behaviour(request, context)
                finally:
                    capacity.give_back(caller.thumbprint)
                lines.answered(response)
            except asyncio.CancelledError:
                self._waste(method, context)
                raise
            except Exception as error:
                await self._fail(error, incoming)
            finally:
                lines.ended()
            return response

        return call

    def _wrap_stream(self, method: str, behaviour: Stream) -> Stream:
        async def call(asked: AsyncIterator[Request], context: Context) -> AsyncGenerator[Message, None]:
            incoming = self._look_at(method, context)
            if self._wasted:
                await self._turn_away(incoming)
            lines = incoming.lines
            try:
                lines.opened()
                with self._hold(incoming, self._streams) as caller:
                    # Who opens a stream learns at once that it was let in, and by what id it is logged.
                    await context.send_initial_metadata(((REQUEST_ID_KEY, incoming.request_id),))
                    requests = lines.watch(self._read(asked, method, caller))
                    async with aclosing(behaviour(requests, context)) as responses:
                        async for response in responses:
                            lines.passed(response)
                            yield response
                lines.closed()
            except asyncio.CancelledError:
                self._waste(method, context)
                raise
            except Exception as error:
                await self._fail(error, incoming)
            finally:
                lines.ended()

        return call

    def _wrap_watch(self, method: str, behaviour: Unary) -> Unary:
        """Wrap a method that writes its responses itself, as the health service's Watch does."""

        async def call(asked: Request, context: Context) -> Message:
            incoming = self._look_at(method, context)
            if self._wasted:
                await self._turn_away(incoming)
            lines = incoming.lines
            try:
                lines.opened()
                # Not of the streams' room: anybody may watch, and would keep the gateway from its banks.
                with self._hold(incoming, self._watches):
                    response = await behaviour(demand_message(asked), context)
                lines.closed()
            except asyncio.CancelledError:
                self._waste(method, context)
                raise
            except Exception as error:
                await self._fail(error, incoming)
            finally:
                lines.ended()
            return response

        return call

    async def _fail(self, error: Exception, incoming: _Incoming) -> NoReturn:
        """Tell the caller of an error no more than is meant for it, and the log the whole of it."""
        context, lines = incoming.context, incoming.lines
        if isinstance(error, grpc.aio.AbortError):
            lines.failed(context.code(), context.details())
            raise error
        if isinstance(error, RequestRefused):
            refusal = error
        else:
            refusal = RequestRefused(grpc.StatusCode.INTERNAL, f"internal error {lines.bug(error)}")
            if isinstance(error, DISK_FAILURES):
                die_of(error)
        if refusal.code in _DENIED:
            peer = incoming.peer
            said = refusal.code.name, shorten(refusal.message)
            self._denied(Denial(incoming.method, _name(peer), peer.thumbprint, *said, lines.about))
        lines.failed(refusal.code, refusal.message)
        if refusal.code in _TOLD_LATE:
            await self._keep_waiting(incoming, refusal.retry_after_s or _WAIT_MAX_S)
        await self._tell(incoming.method, context, refusal)

    async def _keep_waiting(self, incoming: _Incoming, for_s: float) -> None:
        """Have who is refused too often wait for the words, on a call that has no place but on its connection."""
        if not self._refusals.are_told_late(incoming.peer.thumbprint) or self._waiting >= _WAITING_MAX:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(min(for_s, _WAIT_MAX_S))
        except asyncio.CancelledError:
            self._waste(incoming.method, incoming.context)
            raise
        finally:
            self._waiting -= 1

    async def _tell(self, method: str, context: Context, refusal: RequestRefused) -> NoReturn:
        """End a call with a refusal."""
        try:
            await context.abort(refusal.code, refusal.message, refusal.trailing_metadata())
        except grpc.aio.InternalError:
            # The caller has left meanwhile; gRPC would complain of that on stderr, with a traceback each time.
            self._waste(method, context)
            raise asyncio.CancelledError from None
        raise AssertionError("abort returned")

    def _waste(self, method: str, context: Context) -> None:
        """Note a call that its caller took back, and cut its certificate off if there are too many."""
        peer = read_peer(context.auth_context())
        if self._wasted.charge(peer.thumbprint):
            name, thumbprint = _name(peer), peer.thumbprint
            self._log.warning("cut_off", rpc=method, peer=name, thumbprint=thumbprint, details=_TAKEN_BACK)
            self._denied(Denial(method, name, thumbprint, "RESOURCE_EXHAUSTED", _TAKEN_BACK, {}))
        self._cut_if_cut_off(context, peer)

    def _cut_if_cut_off(self, context: Context, peer: Peer) -> bool:
        """Tell whether a call is of a certificate that is cut off; if so, its connection goes within a moment."""
        if not (self._wasted and self._wasted.is_cut_off(peer.thumbprint)):
            return False
        address = parse_peer(context.peer())
        if address is not None:
            self._cutter.cut(address)
            self._door.came(address)
        return True

    async def _turn_away(self, incoming: _Incoming) -> None:
        """Refuse a call of a certificate that is cut off, without a line in the log."""
        if self._cut_if_cut_off(incoming.context, incoming.peer):
            refusal = RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, _TAKEN_BACK, retry_after_s=CUT_OFF_S)
            await self._tell(incoming.method, incoming.context, refusal)

    def _look_at(self, method: str, context: Context) -> _Incoming:
        """Read who calls, and open the call's lines in the log."""
        self.alarm.asked()
        peer = read_peer(context.auth_context())
        metadata: Metadata = tuple(context.invocation_metadata() or ())
        request_id = _request_id(metadata)
        known = {"request_id": request_id, "rpc": method, "peer": _name(peer)}
        lines = CallLog(self._log, SERVED, known, is_quiet=method in _WATCHING)
        use_context(lines.context)
        return _Incoming(method, context, peer, metadata, request_id, lines)

    def _admit(self, incoming: _Incoming, capacity: Capacity) -> Caller:
        """Let a call in, if it may and there is room; the place that it takes is to be given back."""
        capacity.demand_room()
        caller = self._gatekeeper.admit(incoming.method, incoming.peer, incoming.metadata)
        capacity.take(caller.thumbprint)
        set_caller(caller)
        return caller

    @contextmanager
    def _hold(self, incoming: _Incoming, capacity: Capacity) -> Iterator[Caller]:
        """Let a stream in, if it may and there is room, and keep it in view until it ends."""
        caller = self._admit(incoming, capacity)
        try:
            with self._live.hold(incoming.context):
                yield caller
        finally:
            capacity.give_back(caller.thumbprint)

    async def _read(self, asked: AsyncIterator[Request], method: str, caller: Caller) -> AsyncIterator[Message]:
        """Pass a stream's requests on, for as long as whoever sends them may: a login can end meanwhile."""
        async for request in asked:
            self._gatekeeper.admit_again(method, caller)
            yield demand_message(request)


def _name(peer: Peer) -> str:
    """Name the caller for the log, however little is known of it."""
    return shorten(peer.uri.partition("//")[2]) if peer.uri else "no SPIFFE identity"


def _request_id(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and value.isascii() and len(value) <= _REQUEST_ID_MAX:
            return value
    return urandom(8).hex()
