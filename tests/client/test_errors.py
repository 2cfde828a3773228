"""What gRPC says is told apart by whose fault it is and by what may be done about it."""

import grpc
import pytest

from nodes.client.errors import (
    Broken,
    CutGone,
    GatewayAway,
    IdUsed,
    Malformed,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    NotTrusted,
    OutcomeUnknown,
    Overloaded,
    explain,
)
from nodes.runtime.refusal import RequestRefused

CODE = grpc.StatusCode
CONNECT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:50052: "


class Failed(grpc.RpcError):
    """An error as gRPC raises it."""

    def __init__(self, code, details="", metadata=()):
        self._said = code, details, metadata

    def code(self):
        return self._said[0]

    def details(self):
        return self._said[1]

    def trailing_metadata(self):
        return self._said[2]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ("CANCELLED", "the gateway has dropped the call"),
        ("", "the gateway has dropped the call"),
        ("Locally cancelled by application!", "Locally cancelled by application!"),
    ],
)
def test_a_call_that_the_gateway_dropped_is_told_from_one_that_was_taken_back(details, said):
    assert str(explain(Failed(CODE.CANCELLED, details))) == said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CODE.UNAVAILABLE, "HDFC is away"),
        (CODE.DEADLINE_EXCEEDED, "HDFC did not answer in time"),
        (CODE.CANCELLED, "HDFC has dropped the call"),
    ],
)
def test_it_is_said_which_node_was_called(code, said):
    assert str(explain(Failed(code), "HDFC")) == said


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (CODE.CANCELLED, OutcomeUnknown),
        (CODE.UNKNOWN, Broken),
        (CODE.INVALID_ARGUMENT, Malformed),
        (CODE.DEADLINE_EXCEEDED, OutcomeUnknown),
        (CODE.NOT_FOUND, NotFound),
        (CODE.ALREADY_EXISTS, Broken),
        (CODE.PERMISSION_DENIED, NotAllowed),
        (CODE.UNAUTHENTICATED, NotLoggedIn),
        (CODE.RESOURCE_EXHAUSTED, Overloaded),
        (CODE.FAILED_PRECONDITION, IdUsed),
        (CODE.ABORTED, CutGone),
        (CODE.OUT_OF_RANGE, Malformed),
        (CODE.UNIMPLEMENTED, Broken),
        (CODE.INTERNAL, Broken),
        (CODE.UNAVAILABLE, GatewayAway),
        (CODE.DATA_LOSS, Broken),
    ],
)
def test_every_code_has_its_meaning(code, kind):
    assert type(explain(Failed(code, "why"))) is kind


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        (CONNECT + "Failed to connect to remote host: Connection refused", GatewayAway),
        (CONNECT + "Handshake read failed (Endpoint closing)", GatewayAway),
        (CONNECT + "Socket closed", GatewayAway),
        (CONNECT + "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d", NotTrusted),
        (CONNECT + "Custom verification check failed with error: Hostname Verification Check failed.", NotTrusted),
    ],
)
def test_a_gateway_that_is_away_or_hangs_is_not_taken_for_one_that_mistrusts_us(details, kind):
    assert type(explain(Failed(CODE.UNAVAILABLE, details))) is kind


def test_what_the_gateway_says_of_fields_and_of_waiting_is_kept():
    refused = RequestRefused(CODE.INVALID_ARGUMENT, "amount", [("amount_minor", "must be more than 0")], None)
    error = explain(Failed(refused.code, refused.message, refused.trailing_metadata()))
    assert error.violations == [("amount_minor", "must be more than 0")]
    busy = RequestRefused(CODE.RESOURCE_EXHAUSTED, "later", (), 0.5)
    assert explain(Failed(busy.code, busy.message, busy.trailing_metadata())).retry_after_s == 0.5
