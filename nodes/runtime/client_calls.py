"""The caller's side of the request log: a line for each request that leaves and each answer that comes.

Unary calls carry the request id of the call that they are made for, so that the logs of
both nodes can be read together. The one long-lived stream, the gateway's to each bank, is
logged by who holds it (`nodes.gateway.bank_link`): an interceptor would put a queue and a
task between each message and the wire.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
from structlog.typing import FilteringBoundLogger

from nodes.core.names import Identity
from nodes.runtime.call_log import CALLED, CallLog, name_peer
from nodes.runtime.event_log import current_context
from nodes.runtime.rpc import REQUEST_ID_KEY


class ClientCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel with an event loop."""

    def __init__(self, log: FilteringBoundLogger, peer: Identity) -> None:
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


class BlockingClientCalls(grpc.UnaryUnaryClientInterceptor):
    """Logs the unary calls of a channel without an event loop."""

    def __init__(self, log: FilteringBoundLogger, peer: Identity) -> None:
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


def _note_outcome(done: Any, lines: CallLog) -> None:
    if done.code() is grpc.StatusCode.OK:
        lines.answered(done.result())
    else:
        lines.failed(done.code(), done.details())


def _open_log(log: FilteringBoundLogger, peer: Identity, details: Any, request_id: str) -> CallLog:
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    return CallLog(log, CALLED, {"rpc": method, "peer": name_peer(peer), "request_id": request_id})


def _request_id() -> str:
    """Return the id of the request that is being answered here, or a new one."""
    return current_context().get("request_id") or uuid4().hex[:16]
