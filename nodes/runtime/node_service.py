"""What every node tells the operator: alive, ready or why not, and what it is doing."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import operator_pb2 as pb
from interbank.v1 import operator_pb2_grpc

from nodes.runtime.file_watch import FileWatch
from nodes.runtime.live_tls import LiveTls
from nodes.runtime.rpc import Context
from nodes.runtime.tls import Tls


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
        status.certificate.revoked.update({identity.uri: since for identity, since in tls.revoked.items()})
        status.warnings.extend(self._watch.faults)
        fault = _find_fault(tls)
        if fault:
            status.warnings.append(f"its certificate {fault}: `cluster certs rotate {self._known.name}`")
        self._describe(status)
        return status


def _find_fault(tls: Tls) -> str:
    """Say why others refuse this node's certificate; connections that are open outlast its end."""
    if tls.is_revoked:
        return "was revoked"
    return f"expired at {tls.not_after:%Y-%m-%d %H:%M} UTC" if tls.not_after < datetime.now(UTC) else ""


def _version() -> str:
    try:
        return version("secure-distributed-payment-gateway")
    except PackageNotFoundError:
        return "not installed"
