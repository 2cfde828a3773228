"""The prober against a real server with mutual TLS."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from interbank.v1 import operator_pb2 as pb
from interbank.v1 import operator_pb2_grpc

pytestmark = pytest.mark.cluster

DEADLINE_S = 15.0
TLS_NAME = "hdfc.bank.payments.local"


class Authority:
    """Issues certificates for this test alone."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self._folder = folder
        self._write("ca", self._sign("test CA", self._key.public_key(), is_ca=True), self._key)

    def issue(self, name: str, dns_name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(name, self._sign(dns_name, key.public_key(), is_ca=False), key)

    def read(self, *names: str) -> tuple[bytes, ...]:
        return tuple((self._folder / name).read_bytes() for name in names)

    def _sign(self, name: str, key: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=1),
            not_valid_after=now + timedelta(hours=1),
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if not is_ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self._folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self._folder / f"{name}.key").write_bytes(pem)


class Node(operator_pb2_grpc.NodeServiceServicer):
    """Answers with what the test says."""

    def __init__(self) -> None:
        self.answer = pb.GetStatusResponse(instance="i1", is_ready=True, version="0.1.0")

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return self.answer


class Prober:
    """The prober's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def order(self, **order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def hear(self, is_meant: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first answer that is meant."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
                if is_meant(answer):
                    return answer

    async def end(self) -> int:
        """Close its input and return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.issue("node", TLS_NAME)
    authority.issue("operator", "operator.payments.local")
    return authority


@pytest.fixture
async def prober(authority: Authority, tmp_path: Path) -> AsyncIterator[Prober]:
    files = {"--ca": "ca.crt", "--certificate": "operator.crt", "--key": "operator.key"}
    flags = [word for flag, name in files.items() for word in (flag, str(tmp_path / name))]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator.prober", *flags, "--interval", "0.1", stdin=pipe, stdout=pipe
    )
    prober = Prober(process)
    yield prober
    assert await prober.end() == 0


async def serve(authority: Authority, node: Node, port: int = 0) -> tuple[grpc.aio.Server, int]:
    ca, certificate, key = authority.read("ca.crt", "node.crt", "node.key")
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    operator_pb2_grpc.add_NodeServiceServicer_to_server(node, server)
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    port = server.add_secure_port(f"localhost:{port}", credentials)
    await server.start()
    return server, port


async def test_an_answer_is_told_with_its_counters(authority: Authority, prober: Prober) -> None:
    node = Node()
    node.answer.bank.CopyFrom(pb.BankStatus(in_doubt=2, net_due_minor=-5, currency="INR"))
    server, port = await serve(authority, node)
    prober.order(watch="HDFC", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "instance" in answer)
    assert (answer["node"], answer["instance"], answer["is_ready"]) == ("HDFC", "i1", True)
    assert answer["detail"]["net_due_minor"] == -5
    assert answer["detail"]["in_doubt"] == 2
    assert answer["detail"]["gateway_is_connected"] is False
    await server.stop(None)


async def test_what_is_not_a_counter_is_left_out(authority: Authority, prober: Prober) -> None:
    node = Node()
    node.answer.gateway.CopyFrom(pb.GatewayStatus(committed=7, banks=[pb.BankConnection(name="HDFC")]))
    server, port = await serve(authority, node)
    prober.order(watch="gateway", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "instance" in answer)
    assert answer["detail"] == {"epoch": 0, "committed": 7, "declined": 0, "under_way": 0}
    await server.stop(None)


async def test_a_node_that_is_away_and_comes_is_found(authority: Authority, prober: Prober) -> None:
    server, port = await serve(authority, Node())
    await server.stop(None)
    prober.order(watch="HDFC", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "error" in answer)
    assert answer["error"].startswith("UNAVAILABLE: ")
    assert answer["asked_for"] == "i1"
    server, _ = await serve(authority, Node(), port)
    await prober.hear(lambda answer: answer.get("is_ready") is True)
    await server.stop(None)
    await prober.hear(lambda answer: "error" in answer)


async def test_a_server_with_another_name_is_not_believed(authority: Authority, prober: Prober) -> None:
    server, port = await serve(authority, Node())
    prober.order(watch="SBI", address=f"localhost:{port}", tls_name="sbi.bank.payments.local", instance="i1")
    answer = await prober.hear(lambda _: True)
    assert answer["error"].startswith("UNAVAILABLE: ")
    await server.stop(None)


async def test_why_a_node_is_not_ready_is_told(authority: Authority, prober: Prober) -> None:
    node = Node()
    node.answer.is_ready = False
    node.answer.not_ready_reason = "the gateway is away"
    server, port = await serve(authority, node)
    prober.order(watch="HDFC", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "instance" in answer)
    assert (answer["is_ready"], answer["not_ready_reason"]) == (False, "the gateway is away")
    prober.order(forget="HDFC")
    await server.stop(None)
