"""Names for gRPC's own types, which its stubs make generic and its runtime does not, and for its metadata."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What a servicer's method is called with."""

Metadata: TypeAlias = "Sequence[tuple[str, str | bytes]]"
"""What a call came with, beside its request."""

REQUEST_ID_KEY = "x-request-id"
"""Metadata that ties the lines of one request together, in the logs of all whom it passes."""
