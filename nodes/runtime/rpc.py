"""Names for gRPC's own types, which its stubs make generic and its runtime does not."""

from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What a servicer's method is called with."""
