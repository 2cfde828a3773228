"""The program that asks the nodes how they are: ``python -m orchestrator.supervision.prober``.

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

from nodes.core.names import PeerKind
from nodes.core.visible_text import make_visible
from nodes.runtime.complaints import complain
from nodes.runtime.file_watch import FileWatch
from nodes.runtime.tls import CertificateUnusable, Tls, TlsFiles, load_again, load_tls
from orchestrator.supervision.probing import Unreachable, run_prober

DEADLINE_S = 1.0


class OperatorCertificate:
    """The certificate that questions are asked with, as it lies there now."""

    def __init__(self, files: TlsFiles) -> None:
        self._tls = load_tls(files, kind=PeerKind.OPERATOR)
        self._watch = FileWatch(complain)
        self._watch.add(self._reread, CertificateUnusable, *files.paths)

    def find(self) -> Tls:
        """Return it; the same object for as long as it is the same."""
        self._watch.look()
        return self._tls

    def _reread(self) -> None:
        tls = load_again(self._tls)
        if tls != self._tls:
            self._tls = tls


class GrpcAsker:
    """Asks NodeService.GetStatus with the operator's certificate, over one channel at a time."""

    def __init__(self, order: dict[str, Any], certificate: OperatorCertificate) -> None:
        self._order = order
        self._certificate = certificate
        self._open(certificate.find())

    def _open(self, tls: Tls) -> None:
        options = [
            ("grpc.ssl_target_name_override", self._order["tls_name"]),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # What a handshake may take, whatever the name says: on a busy machine that is far more than 100 ms.
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        self._tls = tls
        self._channel = grpc.aio.secure_channel(self._order["address"], tls.channel_credentials(), options)
        self._stub = operator_pb2_grpc.NodeServiceStub(self._channel)

    async def ask(self) -> dict[str, Any]:
        """Return the node's answer, or raise `Unreachable`."""
        tls = self._certificate.find()
        if tls is not self._tls:
            await self._channel.close()
            self._open(tls)
        try:
            status = await self._stub.GetStatus(operator_pb2.GetStatusRequest(), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            # Of "failed to connect to all addresses; last error: ...", the last says why.
            why = (error.details() or "").rpartition(": ")[2]
            raise Unreachable(f"{error.code().name}: {why}") from error
        return {
            "instance": status.instance,
            "is_ready": status.is_ready,
            "not_ready_reason": make_visible(status.not_ready_reason),
            "version": status.version,
            "detail": _read_counters(status),
            "certificate": _read_certificate(status.certificate),
            "warnings": list(map(make_visible, status.warnings)),
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


def _read_certificate(found: operator_pb2.CertificateStatus) -> dict[str, Any]:
    return {
        "serial": found.serial,
        "ends_at": found.not_after.ToJsonString(),
        "authorities": list(found.authorities),
        "revoked": dict(found.revoked),
        "token_key": found.token_key,
        "has_older_lines": found.has_older_lines,
    }


def main() -> None:
    """Run with ``--ca --certificate --key`` (files) and ``--interval`` (seconds)."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.supervision.prober", description=__doc__)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--interval", type=float, default=1.0)
    flags = parser.parse_args()
    certificate = OperatorCertificate(TlsFiles(flags.ca, flags.certificate, flags.key))
    asyncio.run(run_prober(lambda order: GrpcAsker(order, certificate), flags.interval))


if __name__ == "__main__":
    main()
