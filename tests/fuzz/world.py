"""A gateway and its banks in one process, without network or disk, for requests by the million.

Real are the services, the interceptor that admits and decodes, the loops with their
turns, the rules and the SQL (in memory). Not there are TLS, gRPC's own core, and the
lines between gateway and banks, which are function calls.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import apsw
import grpc
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from interbank.v1 import bank_pb2, bank_pb2_grpc, operator_pb2_grpc, payment_pb2_grpc, registry_pb2_grpc

from nodes.bank.bank_service import BankService
from nodes.bank.grants import Grants
from nodes.bank.loop import BankLoop
from nodes.bank.store import SCHEMA as BANK_SCHEMA
from nodes.bank.store import BankStore
from nodes.core.coordinator import Coordinator
from nodes.core.names import Identity, PeerKind
from nodes.core.users import Role, User
from nodes.gateway.bank_link import Batch
from nodes.gateway.conversions import write_decides, write_prepares
from nodes.gateway.logins import Logins
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.operator_service import OperatorService
from nodes.gateway.payment_service import PaymentService
from nodes.gateway.registry_service import RegistryService
from nodes.gateway.store import SCHEMA as GATEWAY_SCHEMA
from nodes.gateway.store import GatewayStore
from nodes.gateway.tokens import TokenIssuer
from nodes.runtime.access import Gatekeeper, collect_rules
from nodes.runtime.methods import Registered
from nodes.runtime.passwords import hash_password
from nodes.runtime.server_calls import ServerCalls

CLUSTER = "payments.test"
OPENED = {"alice": 10**15, "bob": 10**15}
BANKS = ("HDFC", "ICICI")
_PASSWORD_HASH = hash_password("alice123")
_SERVICES = {
    "gateway": [
        "interbank.v1.PaymentService",
        "interbank.v1.RegistryService",
        "interbank.v1.OperatorService",
    ],
    "bank": ["interbank.v1.BankService"],
}


class FakeContext:
    """A call as gRPC would present it; remembers how it was ended."""

    def __init__(self, peer: Identity, token: str) -> None:
        self._token = token
        self._auth = {"peer_spiffe_id": [peer.uri.encode()]}
        self.ended: tuple[grpc.StatusCode, str] | None = None

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

    async def abort(self, code: grpc.StatusCode, details: str, _: Any = ()) -> None:
        self.ended = code, details
        raise grpc.aio.AbortError


class _Silent:
    """An audit log that keeps nothing."""

    def pay(self, *_: Any) -> None: ...

    def note(self, *_: Any, **__: Any) -> None: ...

    def deny_payment(self, *_: Any) -> None: ...


class BankBeside:
    """A bank, and the gateway's line to it, which is a function call."""

    def __init__(self, name: str, gateway: GatewayLoop, issuer: TokenIssuer) -> None:
        self.name = name
        self.address = "localhost:1"
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(BANK_SCHEMA)
        self.connection.execute("INSERT INTO bank VALUES (?)", (name,))
        self.store = BankStore(self.connection)
        self.store.open_accounts(OPENED, "INR", 0)
        self.loop = BankLoop(name, self.store, Grants(CLUSTER), report=lambda _: None)
        self.service = BankService(name, self.loop, self.store)
        self._gateway = gateway
        self._issuer = issuer

    def send(self, batch: Batch) -> None:
        epoch = batch.prepares[0].epoch if batch.prepares else 0
        prepares, decides = write_prepares(batch.prepares), write_decides(batch.decides)
        keys = self._issuer.public_keys()
        request = bank_pb2.TransactRequest(epoch=epoch, prepares=prepares, decides=decides, token_keys=keys)
        self.loop.receive(request, self.answer)

    def answer(self, response: bank_pb2.TransactResponse) -> None:
        """Hand a response to the gateway, as its line would."""
        self._gateway.bank_events().received(self.name, response)

    async def balances(self, user: str) -> bank_pb2.GetBalancesResponse:
        return await self.service.GetBalances(bank_pb2.GetBalancesRequest(user=user), None)

    async def transactions(self, payment_id: bytes) -> bank_pb2.GetTransactionsResponse:
        return await self.service.GetTransactions(bank_pb2.GetTransactionsRequest(payment_id=payment_id), None)

    async def totals(self) -> bank_pb2.GetTotalsResponse:
        return await self.service.GetTotals(bank_pb2.GetTotalsRequest(), None)


class World:
    """One gateway, two banks. Make it in a running event loop, and `close` it there."""

    def __init__(self) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.execute(GATEWAY_SCHEMA)
        self.store = GatewayStore(self.connection)
        epoch = self.store.begin_epoch()
        issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), CLUSTER)
        self._authenticate = lambda token, thumbprint: issuer.verify(token, thumbprint, time.time())
        self._token, _ = issuer.issue("alice", Role.CUSTOMER, token_id="1", thumbprint="", now=time.time())
        users = {name: User(name, Role.CUSTOMER, _PASSWORD_HASH, {}) for name in OPENED}
        self.logins = Logins(users, issuer, self.store)
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
        loops = [self.gateway, *(bank.loop for bank in self.banks.values())]
        self._inboxes = [loop._inbox for loop in loops]
        self.turning = [asyncio.ensure_future(loop.run()) for loop in loops]

    async def close(self) -> None:
        for task in self.turning:
            task.cancel()
        await asyncio.gather(*self.turning, return_exceptions=True)
        self.logins.close()

    # -- calls ------------------------------------------------------------------

    async def call(self, rpc: str, content: bytes, peer: Identity) -> tuple[grpc.StatusCode, str]:
        """Call ``Service/Method`` with the bytes; return how it ended once nothing more happens."""
        handler, context = self._methods[rpc], FakeContext(peer, self._token)
        request = handler.request_deserializer(content)
        try:
            if handler.unary_unary:
                handler.response_serializer(await handler.unary_unary(request, context))
            else:
                async for response in handler.stream_stream(_once(request), context):
                    handler.response_serializer(response)
        except grpc.aio.AbortError:
            assert context.ended is not None
        await self.settle()
        return context.ended or (grpc.StatusCode.OK, "")

    async def settle(self) -> None:
        """Return when all loops are idle; fails if one has ended: its process would have."""
        idle = 0
        while idle < 4:
            await asyncio.sleep(0)
            busy = any(map(len, self._inboxes)) or self.gateway.coordinator.open
            idle = 0 if busy else idle + 1
            for task in self.turning:
                if task.done():
                    task.result()

    def changes(self) -> int:
        """Count all rows that were ever changed, at gateway and banks."""
        connections = [self.connection, *(bank.connection for bank in self.banks.values())]
        return sum(connection.total_changes() for connection in connections)

    # -- wiring -----------------------------------------------------------------

    def _gateway_services(self) -> Registered:
        registered: Any = Registered()
        silent: Any = _Silent()
        payments = PaymentService(self.logins, self.gateway, self.store, silent)
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(payments, registered)
        registry = RegistryService(self.gateway, self.store, silent, lambda *_: None)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, registered)
        operator = OperatorService(self.gateway, self.store, silent)
        operator_pb2_grpc.add_OperatorServiceServicer_to_server(operator, registered)
        return registered

    def _bank_services(self) -> Registered:
        registered: Any = Registered()
        bank_pb2_grpc.add_BankServiceServicer_to_server(self.banks["ICICI"].service, registered)
        return registered

    def _wrap(self, node: str, registered: Registered) -> dict[str, Any]:
        rules = collect_rules(_SERVICES[node])
        calls = ServerCalls(Gatekeeper(CLUSTER, rules, self._authenticate), structlog.wrap_logger(None, [_drop]))
        return {name.removeprefix("/interbank.v1."): calls.wrap(name, registered.find(name)) for name in rules}


async def _once(request: Any) -> AsyncIterator[Any]:
    yield request


def _drop(_: Any, __: str, ___: Any) -> Any:
    raise structlog.DropEvent


OPERATOR = Identity(CLUSTER, PeerKind.OPERATOR)
GATEWAY = Identity(CLUSTER, PeerKind.GATEWAY)
SHELL = Identity(CLUSTER, PeerKind.CLIENT, "shell")
HDFC = Identity(CLUSTER, PeerKind.BANK, "HDFC")
