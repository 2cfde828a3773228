"""A request's bytes become a message within the limits of its method, or a refusal.

gRPC itself would tell the caller, as UNKNOWN, what its parser thought of the bytes, and
would parse a message of any size it lets through before anyone could look at it.
"""

from collections.abc import Callable

import grpc
from google.protobuf.message import DecodeError, Message

from nodes.runtime.refusal import RequestRefused

UNARY_BYTES_MAX = 64 * 1024
STREAM_BYTES_MAX = 4 * 1024 * 1024
"""One message of a stream: some 20,000 payments with short memos."""

Request = Message | RequestRefused
"""A message, or why there is none: gRPC decodes before anyone can raise a refusal, so it is handed on."""


def guard(decode: Callable[[bytes], Message], bytes_max: int) -> Callable[[bytes], Request]:
    """Return ``decode`` for the bytes of strangers: it never raises."""

    def decode_guarded(encoded: bytes) -> Request:
        if len(encoded) > bytes_max:
            said = f"the request has more than {bytes_max} bytes"
            return RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        try:
            return decode(encoded)
        except DecodeError:
            return RequestRefused(grpc.StatusCode.INTERNAL, "the request cannot be decoded")

    return decode_guarded


def demand_message(request: Request) -> Message:
    """Return the message; raises the refusal if there is none."""
    if isinstance(request, RequestRefused):
        raise request
    return request
