"""The program that asks the nodes how they are: ``python -m orchestrator.prober``.

A child of the supervisor, so that the supervisor itself never loads gRPC: a process
that starts others must not (deadlocks after fork, grpc#14258).
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from interbank.v1 import operator_pb2, operator_pb2_grpc

from orchestrator.probing import Unreachable, run_prober

DEADLINE_S = 1.0


class GrpcAsker:
    """Asks NodeService.GetStatus with the operator's certificate, over one channel."""

    def __init__(self, order: dict[str, Any], certificates: tuple[bytes, bytes, bytes]) -> None:
        ca, key, certificate = certificates
        options = [
            ("grpc.ssl_target_name_override", order["tls_name"]),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        self._channel = grpc.aio.secure_channel(order["address"], credentials, options)
        self._stub = operator_pb2_grpc.NodeServiceStub(self._channel)

    async def ask(self) -> dict[str, Any]:
        """Return the node's answer, or raise `Unreachable`."""
        try:
            status = await self._stub.GetStatus(operator_pb2.GetStatusRequest(), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            # Of "failed to connect to all addresses; last error: ...", the last says why.
            why = (error.details() or "").rpartition(": ")[2]
            raise Unreachable(f"{error.code().name}: {why}") from error
        return {
            "instance": status.instance,
            "is_ready": status.is_ready,
            "not_ready_reason": status.not_ready_reason,
            "version": status.version,
            "detail": _read_counters(status),
        }

    async def close(self) -> None:
        """Let go of the channel."""
        await self._channel.close()


def _read_counters(status: Any) -> dict[str, Any]:
    kind = status.WhichOneof("detail")
    if kind is None:
        return {}
    detail = getattr(status, kind)
    return {
        field.name: getattr(detail, field.name)
        for field in detail.DESCRIPTOR.fields
        if not isinstance(getattr(detail, field.name), Sequence) or field.type == field.TYPE_STRING
    }


def main() -> None:
    """Run with ``--ca --certificate --key`` (files) and ``--interval`` (seconds)."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.prober", description=__doc__)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--interval", type=float, default=1.0)
    flags = parser.parse_args()
    certificates = (flags.ca.read_bytes(), flags.key.read_bytes(), flags.certificate.read_bytes())
    asyncio.run(run_prober(lambda order: GrpcAsker(order, certificates), flags.interval))


if __name__ == "__main__":
    main()
