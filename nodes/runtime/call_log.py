"""The lines that one call leaves in a log, at the node that serves it or at the one that calls.

A unary call has one line for its request and one for its end. A stream has one when it
begins and one when it ends, and one for each message with the number of its items:
never a line for each payment of a batch.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from nodes.core.names import Identity
from nodes.runtime.event_log import count_items, describe, shorten


class Events(NamedTuple):
    """What the lines are called."""

    asked: str
    answered: str
    opened: str
    stream_request: str
    stream_response: str
    closed: str


SERVED = Events("request", "response", "stream_opened", "stream_request", "stream_response", "stream_closed")
"""At the node that serves the call."""
CALLED = Events("call", "answer", "stream_called", "stream_call", "stream_answer", "stream_ended")
"""At the one that calls."""


def name_peer(peer: Identity) -> str:
    """Name a node as the lines do."""
    return f"{peer.cluster}/{peer.path}"


_TIES = ("request_id",)


class CallLog:
    """Writes the lines of one call: ``known`` (rpc, peer, ...) is in each of them.

    A quiet call leaves a line only if it fails.
    """

    def __init__(
        self, log: FilteringBoundLogger, events: Events, known: dict[str, Any], *, is_quiet: bool = False
    ) -> None:
        self._log = log
        self._events = events
        self._known = known
        self._context = {name: known[name] for name in _TIES if name in known}
        self.about: dict[str, Any] = {}
        """The payment and the user that the request names, once it is known."""
        self._is_quiet = is_quiet
        self._last = events.answered
        self._has_ended = False
        self._began = time.perf_counter()

    @property
    def context(self) -> Mapping[str, Any]:
        """What ties other lines to the call: its id and, once its request is known, its payment."""
        return self._context

    def asked(self, request: Message) -> None:
        """Note a unary call's request; its payment id is in every line from here on."""
        fields = describe(request)
        self.about = {name: fields[name] for name in ("payment_id", "user") if name in fields}
        if "payment_id" in fields:
            self._known["payment_id"] = self._context["payment_id"] = fields["payment_id"]
        if not self._is_quiet:
            self._log.info(self._events.asked, **fields | self._known)

    def answered(self, response: Message) -> None:
        """Note its response."""
        self._end("OK", {} if self._is_quiet else describe(response))

    def opened(self) -> None:
        """Note that a stream begins."""
        self._last = self._events.closed
        if not self._is_quiet:
            self._log.info(self._events.opened, **self._known)

    async def watch(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """Pass a stream's requests on, noting each."""
        async for request in requests:
            self.sent(request)
            yield request

    def sent(self, request: Message) -> None:
        """Note one request of a stream."""
        self._log.info(self._events.stream_request, **count_items(request) | self._known)

    def passed(self, response: Message) -> None:
        """Note one response of a stream."""
        self._log.info(self._events.stream_response, **count_items(response) | self._known)

    def closed(self) -> None:
        """Note that a stream has ended well."""
        self._end("OK", {})

    def failed(self, code: grpc.StatusCode, details: str | None) -> None:
        """Note that the call ends with an error."""
        self._end(code.name, {"details": shorten(details or "")})

    def ended(self) -> None:
        """Note that the call is over; if nothing else has ended it, the caller has left or its time was up."""
        if not self._has_ended:
            self._end("CANCELLED", {})

    def bug(self, error: Exception) -> str:
        """Write an unforeseen exception down; return the id of the line."""
        error_id = uuid4().hex[:8]
        self._log.error("internal_error", error_id=error_id, exc_info=error, **self._known)
        return error_id

    def _end(self, code: str, fields: dict[str, Any]) -> None:
        self._has_ended = True
        if self._is_quiet and code == "OK":
            return
        duration_ms = round((time.perf_counter() - self._began) * 1000, 3)
        self._log.info(self._last, **fields | self._known | {"code": code, "duration_ms": duration_ms})
