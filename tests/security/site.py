"""A running cluster as an attacker meets it: any certificate, any bytes, any metadata, and what comes back.

Attacks return the gRPC code that they end with; nothing that was refused may carry a
word of what happened inside (`Site.end`), and the books before and after are compared by
whoever runs the attack (`Site.books`).
"""

import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf.message import Message
from interbank.v1 import bank_pb2, operator_pb2, payment_pb2

from nodes.core.authority import Authority, fingerprint
from nodes.core.messages import Decide, Prepare
from nodes.core.names import Identity, PeerKind
from nodes.gateway.conversions import write_decides, write_prepares
from nodes.runtime.tls import TlsFiles
from nodes.runtime.token_keys import write_public_key
from tests.running_nodes import RunningNodes

CODE = grpc.StatusCode
_CALL_TIMEOUT_S = 10.0
_INSIDE = re.compile(
    r"Traceback|Exception|Error\b|Errno|\.py\b|sqlite|apsw|SELECT|INSERT|<class|0x[0-9a-f]{6}", re.I
)
"""Words that tell of the inside of a program; no refusal may have one."""


class End(NamedTuple):
    """How a call ended; ``responses`` as bytes."""

    code: grpc.StatusCode
    details: str
    responses: list[bytes]


class Site:
    """One running cluster, and all certificates that its authority could have given."""

    def __init__(self, nodes: RunningNodes) -> None:
        self.nodes = nodes
        self.authority = nodes.authority
        self.shell = nodes.client_files
        self.operator = nodes.operator_files
        self._leafs: dict[tuple[PeerKind, str], TlsFiles] = {}
        self._channels: dict[tuple[str, Path], grpc.Channel] = {}
        self._tokens: dict[str, str] = {}
        self._count = 0

    def close(self) -> None:
        """Hang up."""
        for channel in self._channels.values():
            channel.close()

    # -- certificates -----------------------------------------------------------

    def leaf(self, kind: PeerKind, name: str = "") -> TlsFiles:
        """Return the certificate of somebody else of this cluster; the same each time."""
        key = kind, name
        if key not in self._leafs:
            self._leafs[key] = self.odd_leaf(self.authority.identity(kind, name))
        return self._leafs[key]

    def odd_leaf(self, identity: Identity | None = None, **wrong: Any) -> TlsFiles:
        """Make a leaf that is wrong in the ways named (`tests.authority.Authority.leaf`)."""
        self._count += 1
        identity = identity or self.authority.identity(PeerKind.CLIENT, "shell")
        return self.authority.leaf(identity, file_name=f"odd-{self._count}", **wrong)

    def peer(self, node: str) -> Identity:
        """Return who answers at a node's address."""
        if node == "gateway":
            return self.authority.identity(PeerKind.GATEWAY)
        return self.authority.identity(PeerKind.BANK, node)

    @property
    def token_key(self) -> Any:
        """The key that signs tokens: what an attacker must never have, and a test may."""
        return load_pem_private_key((self.authority.folder / "token.key").read_bytes(), password=None)

    def authorise(self, prepare: Prepare, user: str = "alice", **wrong: Any) -> Prepare:
        """Put behind a prepare what ``user`` has called with, but for what is ``wrong`` about it."""
        token = dict(self.as_user(user))["authorization"].removeprefix("Bearer ")
        right = Authority(token, fingerprint((*prepare[:2], *prepare[3:8])), time.time_ns() // 1000)
        return prepare._replace(authority=right._replace(**wrong))

    # -- calls ------------------------------------------------------------------

    def call(
        self,
        rpc: str,
        request: Message | bytes = b"",
        *,
        node: str = "gateway",
        files: TlsFiles | None = None,
        metadata: Iterable[tuple[str, str]] = (),
        timeout_s: float = _CALL_TIMEOUT_S,
    ) -> End:
        """Call ``Service/Method`` with any message or bytes, by default with the certificate of users' shells."""
        channel = self.channel(node, files or self.shell)
        method = channel.unary_unary(f"/interbank.v1.{rpc}" if "." not in rpc else f"/{rpc}")
        return _end(lambda: iter([method(_bytes(request), timeout=timeout_s, metadata=tuple(metadata))]))

    def stream(
        self,
        rpc: str,
        requests: Iterable[Message | bytes],
        *,
        node: str = "gateway",
        files: TlsFiles | None = None,
        metadata: Iterable[tuple[str, str]] = (),
    ) -> End:
        """Do the same with a stream both ways; our side ends after the last request."""
        channel = self.channel(node, files or self.shell)
        method = channel.stream_stream(f"/interbank.v1.{rpc}")
        sent = iter([_bytes(request) for request in requests])
        return _end(lambda: method(sent, timeout=_CALL_TIMEOUT_S, metadata=tuple(metadata)))

    def channel(self, node: str, files: TlsFiles) -> grpc.Channel:
        """Return the line to a node with a certificate; kept open, as it would be by who calls often."""
        key = node, files.certificate
        if key not in self._channels:
            self._channels[key] = self.open_channel(node, credentials(files))
        return self._channels[key]

    def open_channel(self, node: str, tls: grpc.ChannelCredentials | None, *, name: str = "") -> grpc.Channel:
        """Open a line of its own; without TLS if there are no credentials."""
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_metadata_size", 1024 * 1024),
        ]
        if tls is None:
            return grpc.insecure_channel(self.nodes.addresses[node], options)
        options.append(("grpc.ssl_target_name_override", name or self.peer(node).tls_name))
        return grpc.secure_channel(self.nodes.addresses[node], tls, options)

    def tls_context(self, files: TlsFiles | None = None) -> ssl.SSLContext:
        """Return what a bare TLS connection that is to speak HTTP/2 offers."""
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        context.set_alpn_protocols(["h2"])
        files = files or self.shell
        context.load_cert_chain(files.certificate, files.key)
        return context

    @contextmanager
    def tls_line(self, node: str, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """Open a bare TLS connection."""
        with socket.create_connection(self.host_and_port(node), timeout=10) as plain:
            context = context or self.tls_context()
            with context.wrap_socket(plain, server_hostname=self.peer(node).tls_name) as line:
                yield line

    def host_and_port(self, node: str) -> tuple[str, int]:
        """Return where a node listens."""
        host, _, port = self.nodes.addresses[node].rpartition(":")
        return host, int(port)

    # -- users ------------------------------------------------------------------

    def token(self, user: str = "alice", files: TlsFiles | None = None) -> str:
        """Log a user in with the shell's certificate (once) or another."""
        if files is None and user in self._tokens:
            return self._tokens[user]
        request = payment_pb2.LoginRequest(user=user, password=f"{user}123")
        end = self.call("PaymentService/Login", request, files=files)
        assert end.code is CODE.OK, end
        token = payment_pb2.LoginResponse.FromString(end.responses[0]).token
        if files is None:
            self._tokens[user] = token
        return token

    def as_user(self, user: str = "alice", files: TlsFiles | None = None) -> list[tuple[str, str]]:
        """Return the metadata of a user's calls."""
        return bearer(self.token(user, files))

    # -- what must not change ---------------------------------------------------

    def books(self) -> list[Any]:
        """Return what no refused request may change: each bank's sums, the tally, where banks listen."""
        totals = self.call("OperatorService/CollectTotals", files=self.operator)
        status = self.call("NodeService/GetStatus", files=self.operator)
        gateway = operator_pb2.GetStatusResponse.FromString(status.responses[0]).gateway
        for field in ("money", "money_age_ms"):  # of a check that goes on by itself
            gateway.ClearField(field)
        assert not gateway.money_failed
        banks = operator_pb2.CollectTotalsResponse.FromString(totals.responses[0])
        assert not [fault for bank in banks.banks for fault in bank.faults]
        assert not banks.unavailable_banks
        return [banks, gateway]


def write_transact(
    prepares: Sequence[Prepare] = (), decides: Sequence[Decide] = (), *, number: int = 1, keys: Sequence[Any] = ()
) -> bank_pb2.TransactRequest:
    """Write a message of the gateway to a bank; its epoch is that of the first prepare."""
    return bank_pb2.TransactRequest(
        epoch=prepares[0].epoch if prepares else 0,
        prepares=write_prepares(prepares),
        decides=write_decides(decides),
        number=number,
        token_keys=[write_public_key(key.public_key()) for key in keys],
    )


def read_votes(end: End) -> list[tuple[int, int]]:
    """Return (epoch, kind) of each vote that came back on a stream to a bank."""
    votes = [bank_pb2.TransactResponse.FromString(response).votes for response in end.responses]
    return [vote for said in votes for vote in zip(said.epochs, said.kinds, strict=True)]


def credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Return what a caller with these files shows, good or not."""
    return grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )


def bearer(token: str) -> list[tuple[str, str]]:
    """Return the metadata that carries a token."""
    return [("authorization", f"Bearer {token}")]


def end_of(error: grpc.RpcError) -> End:
    """Return how a failed call ended; fails if it tells of the inside of the program."""
    end = End(error.code(), error.details() or "", [])
    assert end.code is not CODE.UNKNOWN, end
    if end.code is not CODE.UNAVAILABLE:  # that one is written by our own side
        assert not _INSIDE.search(end.details), end
    return end


def _end(call: Any) -> End:
    try:
        return End(CODE.OK, "", list(call()))
    except grpc.RpcError as error:
        return end_of(error)


def _bytes(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()
