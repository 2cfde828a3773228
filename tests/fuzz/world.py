"""A gateway and its banks in one process, without network or disk, for requests by the million.

Real are the services, what admits and decodes their calls, the loops with their
turns, the rules and the SQL (in memory). Not there are TLS, gRPC's own core, the lines
between gateway and banks, which are function calls, and log files: lines are made of
requests, and written nowhere.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import apsw
import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from interbank.v1 import (
    audit_pb2_grpc,
    bank_pb2,
    bank_pb2_grpc,
    operator_pb2_grpc,
    payment_pb2_grpc,
    registry_pb2_grpc,
)

from nodes.bank.__main__ import BankStatus
from nodes.bank.bank_service import BankService
from nodes.bank.grants import Grants
from nodes.bank.loop import BankLoop
from nodes.bank.store import SCHEMA as BANK_SCHEMA
from nodes.bank.store import BankStore
from nodes.core.authority import Authority, fingerprint
from nodes.core.coordinator import Coordinator
from nodes.core.messages import Prepare
from nodes.core.names import Identity, PeerKind
from nodes.core.users import Role, User
from nodes.gateway import logins
from nodes.gateway.__main__ import Status
from nodes.gateway.bank_link import Batch
from nodes.gateway.conversions import write_decides, write_prepares
from nodes.gateway.logins import Logins
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.money_check import MoneyCheck
from nodes.gateway.operator_service import OperatorService
from nodes.gateway.payment_service import PaymentService
from nodes.gateway.registry_service import RegistryService
from nodes.gateway.store import SCHEMA as GATEWAY_SCHEMA
from nodes.gateway.store import GatewayStore
from nodes.gateway.tokens import TokenIssuer
from nodes.runtime import server_calls
from nodes.runtime.access import Gatekeeper, collect_rules
from nodes.runtime.audit_service import AuditService
from nodes.runtime.methods import Registered
from nodes.runtime.node_service import NodeService
from nodes.runtime.passwords import hash_password
from nodes.runtime.server_calls import ServerCalls

CLUSTER = "payments.test"
OPENED = {"alice": 10**15, "bob": 10**15}
BANKS = ("HDFC", "ICICI")
_PASSWORD_HASH = hash_password("alice123")
_EVERY_NODES = ["interbank.v1.AuditService", "interbank.v1.NodeService", "grpc.health.v1.Health"]
SERVICES = {
    "gateway": [
        "interbank.v1.PaymentService",
        "interbank.v1.RegistryService",
        "interbank.v1.OperatorService",
        *_EVERY_NODES,
    ],
    "bank": ["interbank.v1.BankService", *_EVERY_NODES],
}


class FakeContext:
    """A call as gRPC would present it; remembers how it was ended."""

    def __init__(self, peer: Identity, token: str) -> None:
        self._token = token
        self._auth = {"peer_spiffe_id": [peer.uri.encode()]}
        self.ended: tuple[grpc.StatusCode, str] | None = None
        self._told: list[Callable[[Any], None]] = []

    def add_done_callback(self, told: Callable[[Any], None]) -> None:
        self._told.append(told)

    def end(self) -> None:
        """Tell that all is sent, or never will be."""
        for told in self._told:
            told(self)

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"),)

    def code(self) -> Any:
        return self.ended and self.ended[0]

    def details(self) -> Any:
        return self.ended and self.ended[1]

    async def send_initial_metadata(self, _: Any) -> None:
        """Nobody reads it here."""

    async def write(self, _: Message) -> None:
        """Be a caller who has heard enough: a method that writes by itself goes on for ever."""
        self.ended = grpc.StatusCode.OK, ""
        raise grpc.aio.AbortError

    async def abort(self, code: grpc.StatusCode, details: str = "", _: Any = ()) -> None:
        self.ended = code, details
        raise grpc.aio.AbortError


class _Silent:
    """An audit log that keeps nothing."""

    def pay(self, *_: Any) -> None: ...

    def note(self, *_: Any, **__: Any) -> None: ...

    def deny_payment(self, *_: Any) -> None: ...


class _Mute:
    """A log that writes nothing."""

    def info(self, _: str, **__: Any) -> None: ...

    warning = error = critical = info

    def bind(self, **_: Any) -> "_Mute":
        return self


class BankBeside:
    """A bank, and the gateway's line to it, which is a function call."""

    def __init__(self, name: str, gateway: GatewayLoop, issuer: TokenIssuer) -> None:
        self.name = name
        self.address = "localhost:1"
        self.is_connected = self.is_renewed = True
        self.difference = ""
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(BANK_SCHEMA)
        self.connection.execute("INSERT INTO bank VALUES (?)", (name,))
        self.store = BankStore(self.connection)
        self.store.open_accounts(OPENED, "INR", 0)
        self.loop = BankLoop(name, self.store, Grants(CLUSTER), report=lambda _: None)
        self.service = BankService(name, self.loop, self.store)
        self.service.ask_gateway = self._ask_gateway
        self._gateway = gateway
        self._issuer = issuer

    def send(self, batch: Batch) -> None:
        epoch = batch.prepares[0].epoch if batch.prepares else 0
        prepares, decides = write_prepares(batch.prepares), write_decides(batch.decides)
        keys = self._issuer.public_keys()
        request = bank_pb2.TransactRequest(epoch=epoch, prepares=prepares, decides=decides, token_keys=keys)
        if batch.marker is not None:
            request.cut, request.keep_books = batch.marker
        self.loop.receive(request, self.answer)

    def answer(self, response: bank_pb2.TransactResponse) -> None:
        """Hand a response to the gateway, as its line would."""
        self._gateway.bank_events().received(self.name, response)

    async def balances(self, user: str) -> bank_pb2.GetBalancesResponse:
        return await self.service.GetBalances(bank_pb2.GetBalancesRequest(user=user), None)

    async def transactions(self, payment_id: bytes) -> bank_pb2.GetTransactionsResponse:
        return await self.service.GetTransactions(bank_pb2.GetTransactionsRequest(payment_id=payment_id), None)

    async def in_doubt(self) -> bank_pb2.ListInDoubtResponse:
        return await self.service.ListInDoubt(bank_pb2.ListInDoubtRequest(), None)

    async def totals(self) -> bank_pb2.GetTotalsResponse:
        return await self.service.GetTotals(bank_pb2.GetTotalsRequest(), None)

    async def _ask_gateway(self) -> tuple[int, int]:
        held = list(self.loop.ledger.holds.values())
        keys = [(hold.payment_id, hold.payer, hold.epoch) for hold in held[:1000]]
        decides = await self._gateway.inquire(self.name, keys)
        self.loop.receive_decisions(write_decides(decides))
        return len(keys), len(decides)


class OpenStream:
    """A stream that a caller holds open, one message at a time."""

    def __init__(self, method: Any, context: FakeContext) -> None:
        self.context = context
        self._method = method
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._running = asyncio.ensure_future(self._run())

    def put(self, content: bytes) -> None:
        """Send one message."""
        self._messages.put_nowait(self._method.request_deserializer(content))

    @property
    def has_ended(self) -> bool:
        """Tell whether the other side has ended it; raises what it failed with, but for a refusal."""
        if self._running.done() and not self._running.cancelled():
            self._running.result()
        return self._running.done()

    async def hang_up(self) -> None:
        """End it from here."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async for response in self._method.stream_stream(self._read(), self.context):
                self._method.response_serializer(response)
        except grpc.aio.AbortError:
            assert self.context.ended is not None

    async def _read(self) -> AsyncIterator[Any]:
        while True:
            yield await self._messages.get()


class World:
    """One gateway, two banks. Make it in a running event loop, and `close` it there."""

    def __init__(self) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(GATEWAY_SCHEMA)
        self.store = GatewayStore(self.connection)
        epoch = self.store.begin_epoch()
        issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), CLUSTER)
        self._issuer = issuer
        self._authenticate = lambda token, thumbprint: issuer.verify(token, thumbprint, time.time())
        self._token, _ = issuer.issue("alice", Role.CUSTOMER, token_id="1", thumbprint="", now=time.time())
        users = {name: User(name, Role.CUSTOMER, _PASSWORD_HASH, {}) for name in OPENED}
        # What takes a tenth of a second on purpose, or a whole one, would leave time for nothing else.
        self._haste = ExitStack()
        checking = patch.multiple(logins, hash_password=lambda _: _PASSWORD_HASH, verify_password=_is_password)
        self._haste.enter_context(checking)
        self._haste.enter_context(patch.object(server_calls, "_WAITING_MAX", 0))
        self.logins = Logins(users, issuer, self.store, steady_clock=count().__next__)
        coordinator = Coordinator(epoch=epoch, last_sequence=0, timeout_ms=60_000)
        self.gateway = GatewayLoop(coordinator, self.store, record=lambda _: None, report=lambda _: None)
        self.banks = {name: BankBeside(name, self.gateway, issuer) for name in BANKS}
        for bank in self.banks.values():
            self.gateway.add_bank(bank)  # type: ignore[arg-type]
            self.gateway.bank_events().connected(bank.name, bank_pb2.TransactResponse())
        self._methods = {
            **self._wrap("gateway", self._gateway_services()),
            **self._wrap("bank", self._bank_services()),
        }
        self._streams: dict[str, OpenStream] = {}
        self._connections = [self.connection, *(bank.connection for bank in self.banks.values())]
        loops = [self.gateway, *(bank.loop for bank in self.banks.values())]
        self._inboxes = [loop._inbox for loop in loops]
        self.turning = [asyncio.ensure_future(loop.run()) for loop in loops]

    async def close(self) -> None:
        for stream in self._streams.values():
            await stream.hang_up()
        for task in self.turning:
            task.cancel()
        await asyncio.gather(*self.turning, return_exceptions=True)
        self.logins.close()
        self._haste.close()

    # -- calls ------------------------------------------------------------------

    def is_stream(self, node: str, rpc: str) -> bool:
        """Tell whether a method takes many messages a call: `send` them."""
        return bool(self._methods[node, rpc].stream_stream)

    async def call(self, node: str, rpc: str, content: bytes, peer: Identity) -> tuple[grpc.StatusCode, str]:
        """Call ``Service/Method`` with the bytes; return how it ended once nothing more happens."""
        handler, context = self._methods[node, rpc], FakeContext(peer, self._token)
        request = handler.request_deserializer(content)
        try:
            if handler.unary_unary:
                handler.response_serializer(await handler.unary_unary(request, context))
            else:
                await handler.unary_stream(request, context)
        except grpc.aio.AbortError:
            assert context.ended is not None
        finally:
            context.end()
        await self.settle()
        return context.ended or (grpc.StatusCode.OK, "")

    def open(self, node: str, rpc: str, peer: Identity) -> OpenStream:
        """Return the stream of this method that is open, or open one."""
        stream = self._streams.get(rpc)
        if stream is None or stream.has_ended:
            stream = self._streams[rpc] = OpenStream(self._methods[node, rpc], FakeContext(peer, self._token))
        return stream

    async def send(self, stream: OpenStream, content: bytes) -> tuple[grpc.StatusCode, str]:
        """Send one message; return OK if the stream goes on once nothing more happens, else how it ended."""
        stream.put(content)
        await self.settle(_STEPS)
        ended = stream.context.ended if stream.has_ended else None
        return ended or (grpc.StatusCode.OK, "")

    async def settle(self, steps: int = 1) -> None:
        """Return when all loops have been idle for some steps; fails if one has ended: its process would have."""
        idle = 0
        while idle < steps:
            await asyncio.sleep(0)
            if any(map(len, self._inboxes)) or self.gateway.coordinator.open:
                idle, steps = 0, _STEPS
            else:
                idle += 1
        for task in self.turning:
            if task.done():
                task.result()

    def changes(self) -> int:
        """Count all rows that were ever changed, at gateway and banks."""
        return sum([connection.total_changes() for connection in self._connections])

    def authorise(self, prepare: Prepare) -> Prepare:
        """Put alice's login behind a prepare."""
        fields = prepare.payment_id, prepare.payer, *prepare[3:8]
        return prepare._replace(authority=Authority(self._token, fingerprint(fields), time.time_ns() // 1000))

    def give_token(self, user: str, thumbprint: str) -> str:
        """Return what a login of ``user`` with that certificate would be given."""
        token_id = f"1.{self.logins._stamps[user]}"
        token, _ = self._issuer.issue(
            user, Role.CUSTOMER, token_id=token_id, thumbprint=thumbprint, now=time.time()
        )
        return token

    @property
    def token_keys(self) -> list[str]:
        """What banks check logins by."""
        return self._issuer.public_keys()

    # -- wiring -----------------------------------------------------------------

    def _gateway_services(self) -> Registered:
        registered: Any = Registered()
        silent: Any = _Silent()
        mute: Any = _Mute()
        payments = PaymentService(self.logins, self.gateway, self.store, silent)
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(payments, registered)
        registry = RegistryService(self.gateway, self.store, silent, lambda *_: None)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, registered)
        operator = OperatorService(self.gateway, self.store, silent)
        operator_pb2_grpc.add_OperatorServiceServicer_to_server(operator, registered)
        auditing = AuditService(self.store.chain, operator.standing, operator.read_records)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(auditing, registered)
        status = Status(self.gateway, self.store, MoneyCheck(self.gateway.cuts, mute), self._issuer)
        _add_watched(registered, status.describe)
        return registered

    def _bank_services(self) -> Registered:
        registered: Any = Registered()
        bank = self.banks["ICICI"]
        bank_pb2_grpc.add_BankServiceServicer_to_server(bank.service, registered)
        auditing = AuditService(bank.store.chain, bank.loop.standings.find, bank.service.read_records)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(auditing, registered)
        link: Any = SimpleNamespace(failure="")
        accounts: Any = SimpleNamespace(currency="INR")
        _add_watched(registered, BankStatus(bank.loop, bank.service, link, bank.store, accounts).describe)
        return registered

    def _wrap(self, node: str, registered: Registered) -> dict[tuple[str, str], Any]:
        rules = collect_rules(SERVICES[node])
        mute: Any = _Mute()
        calls = ServerCalls(Gatekeeper(CLUSTER, rules, self._authenticate), mute)
        return {(node, _shorten(name)): calls.wrap(name, registered.find(name)) for name in rules}


def _is_password(password: str, _: str) -> bool:
    return password == "alice123"


_STEPS = 4
"""How many steps in a row all must be idle after something was not: an answer takes some from task to task."""


def _add_watched(registered: Any, describe: Any) -> None:
    """Add what watches ask every moment."""
    tls = SimpleNamespace(serial="1", not_after=datetime.now(UTC), authorities=(), revoked={}, is_revoked=False)
    live, watch = SimpleNamespace(current=tls), SimpleNamespace(faults=[])
    node: Any = NodeService(name="x", role="x", instance="", describe=describe, live=live, watch=watch)  # type: ignore[arg-type]
    operator_pb2_grpc.add_NodeServiceServicer_to_server(node, registered)
    watched = health.aio.HealthServicer()
    watched._server_status[""] = health_pb2.HealthCheckResponse.SERVING
    health_pb2_grpc.add_HealthServicer_to_server(watched, registered)


def _shorten(name: str) -> str:
    return name.removeprefix("/").removeprefix("interbank.v1.").removeprefix("grpc.health.v1.")


OPERATOR = Identity(CLUSTER, PeerKind.OPERATOR)
GATEWAY = Identity(CLUSTER, PeerKind.GATEWAY)
SHELL = Identity(CLUSTER, PeerKind.CLIENT, "shell")
HDFC = Identity(CLUSTER, PeerKind.BANK, "HDFC")
