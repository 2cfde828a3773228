"""What every node tells the operator: alive, ready or why not, and what it is doing."""

import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import operator_pb2 as pb
from interbank.v1 import operator_pb2_grpc

from nodes.runtime.file_watch import FileWatch
from nodes.runtime.live_tls import LiveTls
from nodes.runtime.rpc import Context


class NodeService(operator_pb2_grpc.NodeServiceServicer):
    """Answers as one node. ``describe`` fills in readiness and the node's own counters at each call."""

    def __init__(
        self,
        *,
        name: str,
        role: str,
        instance: str,
        describe: Callable[[pb.GetStatusResponse], None],
        live: LiveTls,
        watch: FileWatch,
    ) -> None:
        self._known = pb.GetStatusResponse(
            name=name,
            role=role,
            instance=instance,
            pid=os.getpid(),
            version=_version(),
            started_at=Timestamp(seconds=int(time.time())),
        )
        self._describe = describe
        self._live = live
        self._watch = watch

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Say how this node is."""
        status = pb.GetStatusResponse()
        status.CopyFrom(self._known)
        tls = self._live.current
        status.certificate.serial = tls.serial
        status.certificate.not_after.FromDatetime(tls.not_after)
        status.certificate.authorities.extend(tls.authorities)
        status.warnings.extend(self._watch.faults)
        self._describe(status)
        return status


def _version() -> str:
    try:
        return version("secure-distributed-payment-gateway")
    except PackageNotFoundError:
        return "not installed"
