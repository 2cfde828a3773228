"""What can come of a call besides its answer, by whose fault it is; one table from gRPC's codes."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from interbank.v1 import payment_pb2 as pb

from nodes.core.visible_text import make_visible

_DETAILS_KEY = "grpc-status-details-bin"
_MISTRUST_WORDS = ("ssl_error_ssl", "certificate", "hostname verification")
"""In gRPC's own words for a handshake that was refused; one that took too long has none of them."""


class ClientError(Exception):
    """A call did not bring an answer; the message is for people."""


class GatewayAway(ClientError):
    """The gateway, or a bank, could not be reached. A payment may have been begun or not: send it again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotTrusted(ClientError):
    """The two sides do not trust each other's certificates. Trying again will not help."""


class OutcomeUnknown(ClientError):
    """No answer in time. Only the same payment, sent again, or asking for it can tell what became of it."""


class Overloaded(GatewayAway):
    """The gateway has more to do than it can; try again after ``retry_after_s``."""


class NotLoggedIn(ClientError):
    """The login is missing, over, or wrong: log in (again)."""


class NotAllowed(ClientError):
    """This user, or this certificate, may not do that."""


class NotFound(ClientError):
    """There is no such thing, or it is not this user's."""


class Malformed(ClientError):
    """The request is not well-formed; ``violations`` are (field, what is wrong)."""

    def __init__(self, message: str, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.violations = violations


class IdUsed(ClientError):
    """The payment id was used for another payment: use a new id."""


class CutGone(ClientError):
    """The books of that cut are not kept any more: take another."""


class Broken(ClientError):
    """The other side failed in a way it should not; its log knows more."""


def explain(error: grpc.RpcError, who: str = "the gateway") -> ClientError:
    """Return our error for gRPC's, of a call to ``who``."""
    code, details = error.code(), make_visible(error.details() or "")
    retry_after_s = _read_retry_after_s(error)
    if code is grpc.StatusCode.UNAVAILABLE and retry_after_s is None:
        return _explain_unavailable(details, who)
    return _explain_code(code, details, _read_violations(error), retry_after_s, who)


def explain_refused(refused: pb.RefusedRequest) -> ClientError:
    """Return what `explain` would, for a payment that was refused alone among many in a message."""
    violations = [(violation.field, violation.description) for violation in refused.violations]
    code = _CODES.get(refused.code, grpc.StatusCode.UNKNOWN)
    return _explain_code(code, make_visible(refused.message), violations, refused.retry_after_ms / 1000 or None)


def _explain_code(
    code: grpc.StatusCode,
    details: str,
    violations: Sequence[tuple[str, str]],
    retry_after_s: float | None,
    who: str = "the gateway",
) -> ClientError:
    if code is grpc.StatusCode.UNAVAILABLE:
        return GatewayAway(details, retry_after_s)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(details, retry_after_s)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return Malformed(details, violations)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return OutcomeUnknown(f"{who} did not answer in time")
    if code is grpc.StatusCode.CANCELLED and details in ("", code.name):
        # Of a call that this side takes back, gRPC says who did.
        return OutcomeUnknown(f"{who} has dropped the call")
    kind = _KINDS.get(code, Broken)
    return kind(details if kind is not Broken else f"{code.name}: {details}")


_CODES = {code.value[0]: code for code in grpc.StatusCode}
_KINDS: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.CANCELLED: OutcomeUnknown,
    grpc.StatusCode.UNAUTHENTICATED: NotLoggedIn,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: IdUsed,
    grpc.StatusCode.ABORTED: CutGone,
}


def _explain_unavailable(details: str, who: str) -> ClientError:
    """Tell a node that is away from one that refuses our certificate: gRPC says UNAVAILABLE to both."""
    if any(word in details.lower() for word in _MISTRUST_WORDS):
        return NotTrusted(f"the certificates of the two sides do not fit: {details}")
    return GatewayAway(f"{who} is away")


def _details(error: grpc.RpcError) -> Status:
    metadata: tuple[tuple[str, Any], ...] = tuple(error.trailing_metadata() or ())  # type: ignore[arg-type]
    found = [value for key, value in metadata if key == _DETAILS_KEY]
    return Status.FromString(found[0] if found else b"")


def _read_violations(error: grpc.RpcError) -> list[tuple[str, str]]:
    found = BadRequest()
    for detail in _details(error).details:
        if detail.Unpack(found):
            return [(violation.field, violation.description) for violation in found.field_violations]
    return []


def _read_retry_after_s(error: grpc.RpcError) -> float | None:
    found = RetryInfo()
    for detail in _details(error).details:
        if detail.Unpack(found):
            return float(found.retry_delay.ToMilliseconds()) / 1000
    return None
