"""How a request is refused: one exception for services to raise, one way onto the wire."""

from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status


class RequestRefused(Exception):
    """A request that is answered with an error. Everything in it goes to the caller."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        violations: Sequence[tuple[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.violations = violations
        self.retry_after_s = retry_after_s

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the details (google.rpc.BadRequest, RetryInfo) as gRPC carries them; empty if there are none."""
        details = []
        if self.violations:
            found = [BadRequest.FieldViolation(field=f, description=d) for f, d in self.violations]
            details.append(BadRequest(field_violations=found))
        if self.retry_after_s is not None:
            delay = Duration()
            delay.FromMilliseconds(int(self.retry_after_s * 1000))
            details.append(RetryInfo(retry_delay=delay))
        if not details:
            return ()
        status = Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status).trailing_metadata or ()
