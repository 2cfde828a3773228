"""A gateway and banks as real processes, started by their flags alone, on ports and in a folder of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import uuid_utils
from interbank.v1 import operator_pb2, operator_pb2_grpc, payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.passwords import hash_password
from nodes.runtime.tls import TlsFiles, dial_blocking, load_tls
from tests.authority import Authority, make_token_key

ROOT = Path(__file__).parent.parent
DEADLINE_S = 20.0
BANKS = {
    "HDFC": {"alice": 500_000, "bob": 300_000},
    "ICICI": {"alice": 1_000_000, "bob": 400_000, "charlie": 750_000},
    "SBI": {"alice": 250_000, "charlie": 600_000},
}
USERS = {"alice": "customer", "bob": "customer", "charlie": "customer", "dave": "operator", "eve": "auditor"}


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def wait_until(is_so: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to become true; fail, saying what, if it does not."""
    ends = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < ends, f"{what} did not come about within {deadline_s} s"
        time.sleep(0.02)


class RunningNodes:
    """The processes of a cluster, by name: ``gateway``, ``HDFC``, ``ICICI``, ``SBI``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "certs")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses = dict(zip(["gateway", *BANKS], map("localhost:{}".format, free_ports(4)), strict=True))
        self.revoked = folder / "certs" / "revoked.json"
        self.revoked.write_text('{"revoked": []}')
        self.token_key = make_token_key(folder / "certs" / "token.key")
        users = [
            {"name": name, "role": role, "password_hash": hash_password(f"{name}123"), "accounts": {}}
            for name, role in USERS.items()
        ]
        (folder / "users.json").write_text(json.dumps({"users": users}))
        for bank, accounts in BANKS.items():
            content = {"currency": "INR", "accounts": accounts}
            (folder / f"{bank}.accounts.json").write_text(json.dumps(content))
        self.leafs = {
            "gateway": self.authority.leaf(self.authority.identity(PeerKind.GATEWAY)),
            **{bank: self.authority.leaf(self.authority.identity(PeerKind.BANK, bank)) for bank in BANKS},
        }
        self.client_files = self.authority.leaf(self.authority.identity(PeerKind.CLIENT, "shell"))
        self.operator_files = self.authority.leaf(self.authority.identity(PeerKind.OPERATOR))

    # -- processes --------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start nodes, all if none are named, and wait until each is ready."""
        for name in names or ("gateway", *BANKS):
            self.spawn(name)
        for name in names or ("gateway", *BANKS):
            self.wait_ready(name)

    def spawn(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Start one node's process without waiting."""
        program = "nodes.gateway" if name == "gateway" else "nodes.bank"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
        command = [sys.executable, "-m", program, *self.flags(name), *more]
        with (self.folder / f"{name}.stderr").open("ab") as stderr:
            process = subprocess.Popen(command, env=environment, stderr=stderr)
        self.processes[name] = process
        return process

    def flags(self, name: str) -> list[str]:
        """Return the flags that a node is started with."""
        leaf = self.leafs[name]
        flags = {
            "listen": self.addresses[name],
            "database": self.folder / f"{name}.db",
            "ca": leaf.ca,
            "certificate": leaf.certificate,
            "key": leaf.key,
            "revoked": self.revoked,
            "log": self.folder / f"{name}.log",
            "audit": self.folder / ("audit.log" if name == "gateway" else f"{name}.audit.log"),
            "instance": uuid4().hex,
        }
        if name == "gateway":
            flags |= {"users": self.folder / "users.json", "token-key": self.token_key}
            flags |= {"transactions": self.folder / "transactions.json"}
        else:
            flags |= {"name": name, "gateway": self.addresses["gateway"]}
            flags |= {"accounts": self.folder / f"{name}.accounts.json"}
        return [f"--{key}={value}" for key, value in flags.items()]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL the process is gone and reaped when this returns."""
        process = self.processes[name]
        process.send_signal(number)
        if number is signal.SIGKILL:
            process.wait(DEADLINE_S)

    def stop(self) -> None:
        """End every process that was started here."""
        for process in self.processes.values():
            process.kill()
            process.wait(DEADLINE_S)

    def stderr(self, name: str) -> str:
        """Return what a node complained of."""
        return (self.folder / f"{name}.stderr").read_text()

    # -- calls ------------------------------------------------------------------

    @contextmanager
    def channel(self, name: str, files: TlsFiles, kind: PeerKind) -> Iterator[grpc.Channel]:
        """Open a channel to a node with some certificate."""
        node_kind = PeerKind.GATEWAY if name == "gateway" else PeerKind.BANK
        peer = self.authority.identity(node_kind, "" if name == "gateway" else name)
        with dial_blocking(self.addresses[name], load_tls(files, kind=kind), peer) as channel:
            yield channel

    def status(self, name: str) -> operator_pb2.GetStatusResponse | None:
        """Ask a node how it is; None if it does not answer."""
        with self.channel(name, self.operator_files, PeerKind.OPERATOR) as channel:
            try:
                stub = operator_pb2_grpc.NodeServiceStub(channel)
                return stub.GetStatus(operator_pb2.GetStatusRequest(), timeout=2)
            except grpc.RpcError:
                return None

    def wait_ready(self, name: str) -> None:
        """Wait until a node is ready for payments."""

        def is_ready() -> bool:
            process = self.processes[name]
            assert process.poll() is None, f"{name} ended with {process.returncode}: {self.stderr(name)}"
            status = self.status(name)
            return status is not None and status.is_ready

        wait_until(is_ready, f"{name} ready")

    @contextmanager
    def client(self, user: str = "alice") -> Iterator["Caller"]:
        """Log a user in."""
        with self.channel("gateway", self.client_files, PeerKind.CLIENT) as channel:
            yield Caller(channel, user)

    def totals(self) -> operator_pb2.CollectTotalsResponse:
        """Add up all books."""
        with self.channel("gateway", self.operator_files, PeerKind.OPERATOR) as channel:
            stub = operator_pb2_grpc.OperatorServiceStub(channel)
            return stub.CollectTotals(operator_pb2.CollectTotalsRequest(), timeout=20)


class Caller:
    """A logged-in user on a channel, with the plain stubs of the .proto files."""

    def __init__(self, channel: grpc.Channel, user: str) -> None:
        self.user = user
        self.stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.LoginRequest(user=user, password=f"{user}123")
        self.login = self.stub.Login(request, timeout=5)
        self.metadata = [("authorization", f"Bearer {self.login.token}")]

    def pay(self, payee: str, amount_minor: int, *, payer: str = "", payment_id: str = "", timeout: float = 5):
        """Pay, from the user's account at ICICI unless another is named."""
        request = self.request(payee, amount_minor, payer=payer, payment_id=payment_id)
        return self.stub.Pay(request, timeout=timeout, metadata=self.metadata)

    def request(self, payee: str, amount_minor: int, *, payer: str = "", payment_id: str = ""):
        """Write a request to pay."""
        return payment_pb2.PayRequest(
            payment_id=payment_id or str(uuid_utils.uuid7()),
            payer_account=payer or f"{self.user}@ICICI",
            payee_account=payee,
            amount_minor=amount_minor,
            currency="INR",
        )

    def balance(self, bank: str) -> payment_pb2.Balance:
        """Look at one account."""
        request = payment_pb2.GetBalanceRequest(bank=bank)
        return self.stub.GetBalance(request, timeout=5, metadata=self.metadata).balances[0]

    def history(self, page_size: int = 20, page_token: str = "") -> payment_pb2.ListPaymentsResponse:
        """Look at a page of payments."""
        request = payment_pb2.ListPaymentsRequest(page_size=page_size, page_token=page_token)
        return self.stub.ListPayments(request, timeout=5, metadata=self.metadata)
