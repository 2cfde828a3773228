"""The prober against a real server with mutual TLS."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from interbank.v1 import operator_pb2 as pb
from interbank.v1 import operator_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles
from orchestrator.supervision import probing
from tests.authority import Authority, put_in_place

pytestmark = pytest.mark.cluster

DEADLINE_S = 15.0
TLS_NAME = "hdfc.bank.payments.test"


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
    authority.leaf(authority.identity(PeerKind.BANK, "HDFC"), file_name="node")
    authority.leaf(authority.identity(PeerKind.OPERATOR), file_name="operator")
    return authority


@pytest.fixture
async def prober(authority: Authority, tmp_path: Path) -> AsyncIterator[Prober]:
    files = {"--ca": "ca.crt", "--certificate": "operator.crt", "--key": "operator.key"}
    flags = [word for flag, name in files.items() for word in (flag, str(tmp_path / name))]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator.supervision.prober",
        *flags,
        "--interval",
        "0.1",
        stdin=pipe,
        stdout=pipe,
    )
    prober = Prober(process)
    yield prober
    assert await prober.end() == 0


async def serve(authority: Authority, node: Node, port: int = 0) -> tuple[grpc.aio.Server, int]:
    ca, certificate, key = ((authority.folder / name).read_bytes() for name in ("ca.crt", "node.crt", "node.key"))
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    operator_pb2_grpc.add_NodeServiceServicer_to_server(node, server)
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    port = server.add_secure_port(f"localhost:{port}", credentials)
    await server.start()
    return server, port


async def test_an_answer_is_told_with_its_counters(authority: Authority, prober: Prober) -> None:
    node = Node()
    node.answer.bank.CopyFrom(pb.BankStatus(in_doubt=2, net_due_minor=-5, currency="INR"))
    node.answer.certificate.CopyFrom(pb.CertificateStatus(serial="7f", has_older_lines=True))
    server, port = await serve(authority, node)
    prober.order(watch="HDFC", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "instance" in answer)
    assert (answer["node"], answer["instance"], answer["is_ready"]) == ("HDFC", "i1", True)
    assert answer["detail"]["net_due_minor"] == -5
    assert answer["detail"]["in_doubt"] == 2
    assert answer["detail"]["gateway_is_connected"] is False
    assert (answer["certificate"]["serial"], answer["certificate"]["has_older_lines"]) == ("7f", True)
    await server.stop(None)


async def test_what_is_not_a_counter_is_left_out(authority: Authority, prober: Prober) -> None:
    node = Node()
    node.answer.gateway.CopyFrom(pb.GatewayStatus(committed=7, banks=[pb.BankConnection(name="HDFC")]))
    server, port = await serve(authority, node)
    prober.order(watch="gateway", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    answer = await prober.hear(lambda answer: "instance" in answer)
    assert answer["detail"]["committed"] == 7
    assert "banks" not in answer["detail"]
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


async def test_it_goes_on_asking_when_certificates_and_authority_are_replaced(
    authority: Authority, prober: Prober, tmp_path: Path
) -> None:
    server, port = await serve(authority, Node())
    prober.order(watch="HDFC", address=f"localhost:{port}", tls_name=TLS_NAME, instance="i1")
    await prober.hear(lambda answer: answer.get("is_ready") is True)
    await server.stop(None)
    other = Authority(tmp_path / "other")
    other.leaf(other.identity(PeerKind.BANK, "HDFC"), file_name="node")
    server, _ = await serve(other, Node(), port)
    await prober.hear(lambda answer: "error" in answer)
    files = TlsFiles(*(tmp_path / name for name in ("ca.crt", "operator.crt", "operator.key")))
    put_in_place(files.ca, other.ca.read_bytes())
    other.replace_leaf(other.identity(PeerKind.OPERATOR), files)
    await prober.hear(lambda answer: answer.get("is_ready") is True)
    await server.stop(None)


class Asker:
    """Answers at once, and notes that it was let go."""

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()

    async def ask(self) -> dict[str, Any]:
        return {"is_ready": True}

    async def close(self) -> None:
        self.is_closed.set()


async def test_who_asked_before_is_let_go_when_a_node_is_watched_again():
    askers: list[Asker] = []

    def make_asker(_: dict[str, Any]) -> Asker:
        askers.append(Asker())
        return askers[-1]

    heard = asyncio.Event()
    watching = probing.Prober(make_asker, 60.0, lambda _: heard.set())
    try:
        watching.obey({"watch": "HDFC", "instance": "1"})
        await asyncio.wait_for(heard.wait(), DEADLINE_S)
        watching.obey({"watch": "HDFC", "instance": "2"})
        await asyncio.wait_for(askers[0].is_closed.wait(), DEADLINE_S)
        assert not askers[1:] or not askers[1].is_closed.is_set()
    finally:
        await watching.close()
