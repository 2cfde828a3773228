"""What is fuzzed, and what must hold of each request.

Of every RPC: the code is one that the method may end with, never UNKNOWN, and INTERNAL
for bytes that cannot be decoded alone; a request that is refused has changed no row at
the gateway or a bank; the loops go on. Of every text: it is read, or refused by the
one error of its reader.
"""

import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from interbank.v1 import audit_pb2, bank_pb2, operator_pb2, payment_pb2, registry_pb2

from nodes.core.messages import Decide, Prepare
from nodes.core.names import Identity
from nodes.core.users import UsersMistaken, parse_users
from nodes.gateway.conversions import write_decides, write_prepares
from nodes.runtime.refusal import RequestRefused
from orchestrator.layout import config as cluster_config
from orchestrator.shell import language
from orchestrator.supervision import control_server
from tests.fuzz.mutation import Mutator, change_text
from tests.fuzz.world import GATEWAY, HDFC, OPERATOR, SERVICES, SHELL, World

CODE = grpc.StatusCode
NEVER = frozenset({CODE.UNKNOWN, CODE.UNIMPLEMENTED, CODE.DEADLINE_EXCEEDED, CODE.CANCELLED, CODE.DATA_LOSS})
_WORLD_LASTS = 2_000
ROOT = Path(__file__).parent.parent.parent


class Finding(AssertionError):
    """Something that must hold did not; the message says what, and for which bytes."""


class RpcTarget:
    """One RPC of one node, called with one kind of certificate. Streams are kept open for as long as they last."""

    def __init__(
        self, rpc: str, peer: Identity, good: Callable[[random.Random], Message], *, node: str = "gateway"
    ) -> None:
        self.name = rpc if node == "gateway" or rpc.startswith("BankService") else f"{rpc} at a bank"
        self.codes: Counter[str] = Counter()
        self.good = good
        self._rpc = rpc
        self._node = node
        self._peer = peer
        service, _, method = rpc.partition("/")
        package = "grpc.health.v1" if service == "Health" else "interbank.v1"
        described = descriptor_pool.Default().FindServiceByName(f"{package}.{service}")
        self._input = described.methods_by_name[method].input_type
        self._mutator: Mutator | None = None
        self._world: World | None = None
        self._used = 0
        self._world_lasts = _WORLD_LASTS

    def mutate(self, rng: random.Random) -> bytes:
        """Make one request."""
        if self._mutator is None or self._mutator.rng is not rng:
            self._mutator = Mutator(rng, self._input, lambda: self.good(rng))
        return self._mutator.request()

    async def run(self, content: bytes) -> None:
        """Send one request; raises `Finding`."""
        world = await self._enter_world()
        try:
            if world.is_stream(self._node, self._rpc):
                stream = world.open(self._node, self._rpc, self._peer)
                before = world.changes()
                code, details = await world.send(stream, content)
            else:
                before = world.changes()
                code, details = await world.call(self._node, self._rpc, content, self._peer)
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content.hex()}") from error
        self.codes[code.name] += 1
        self._judge(content, code, details, world.changes() - before)

    def _judge(self, content: bytes, code: grpc.StatusCode, details: str, changed: int) -> None:
        if code in NEVER or (code is CODE.INTERNAL and self._is_decodable(content)):
            raise Finding(f"{self.name}: {code.name} {details!r} for {content.hex()}")
        if code is not CODE.OK and changed:
            raise Finding(f"{self.name}: {code.name} {details!r}, but {changed} rows changed, for {content.hex()}")

    def _is_decodable(self, content: bytes) -> bool:
        try:
            GetMessageClass(self._input).FromString(content)
        except DecodeError:
            return False
        return True

    async def _enter_world(self) -> World:
        """Return the world, another one from time to time: what is on record makes each turn longer."""
        if self._world is None or self._used >= self._world_lasts:
            await self.close()
            self._world = World()
            await self._world.settle()
        self._used += 1
        return self._world

    async def close(self) -> None:
        """End the world."""
        if self._world is not None:
            await self._world.close()
        self._world, self._used = None, 0


class Transactions(RpcTarget):
    """What a gateway gone wrong says to a bank: of payments that were ordered, too, some of which are held."""

    def __init__(self) -> None:
        super().__init__("BankService/Transact", GATEWAY, self._transact, node="bank")
        self._held: deque[Prepare] = deque(maxlen=3)
        # A stream that is opened is answered with all that is held.
        self._world_lasts = 300

    async def run(self, content: bytes) -> None:
        await super().run(content)
        if self._used == 1:
            self._held.clear()

    def _transact(self, rng: random.Random) -> bank_pb2.TransactRequest:
        epoch = rng.randint(1, 3)
        prepare = Prepare(rng.randbytes(16), "alice", epoch, "ICICI", "bob", "HDFC", rng.randint(1, 100), "INR")
        if self._world is not None and rng.random() < 0.9:
            prepare = self._world.authorise(prepare)
        keys = self._world.token_keys if self._world is not None else []
        ends = self._held.popleft() if len(self._held) == self._held.maxlen else prepare
        self._held.append(prepare)
        decide = Decide(ends.payment_id, "alice", ends.epoch, rng.random() < 0.5)
        return bank_pb2.TransactRequest(
            epoch=epoch,
            prepares=write_prepares([prepare]),
            decides=write_decides([decide]),
            number=1,
            token_keys=keys,
        )


class BankAnswers(RpcTarget):
    """What a bank gone bad answers on the gateway's stream: taken, or refused as the line would break."""

    def __init__(self) -> None:
        super().__init__("BankService/Transact", GATEWAY, lambda _: bank_pb2.TransactResponse())
        self.name = "a bank's answers"
        self._input = bank_pb2.TransactResponse.DESCRIPTOR

    async def run(self, content: bytes) -> None:
        world = await self._enter_world()
        try:
            answer = bank_pb2.TransactResponse.FromString(content)
        except DecodeError:
            self.codes["undecodable"] += 1
            return
        try:
            world.banks["HDFC"].answer(answer)
            self.codes["taken"] += 1
        except (ValueError, ConnectionError):
            self.codes["refused"] += 1
        try:
            await world.settle()
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content.hex()}") from error


class TextTarget:
    """A text that people write; ``read`` takes it, or raises one of ``refusals``."""

    def __init__(
        self, name: str, seeds: list[str], read: Callable[[str], object], *refusals: type[Exception]
    ) -> None:
        self.name = name
        self.codes: Counter[str] = Counter()
        self._seeds = seeds
        self._read = read
        self._refusals = refusals

    def mutate(self, rng: random.Random) -> bytes:
        """Make one text."""
        return change_text(rng, rng.choice(self._seeds)).encode(errors="replace")

    async def run(self, content: bytes) -> None:
        """Read one text; raises `Finding`."""
        try:
            self._read(content.decode(errors="replace"))
            self.codes["read"] += 1
        except self._refusals:
            self.codes["refused"] += 1
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content!r}") from error

    async def close(self) -> None:
        """Do nothing."""


class TokenTarget(TextTarget):
    """What is brought as a token: a login that was given to somebody, as it was given, or none."""

    def __init__(self) -> None:
        super().__init__("a token", ["a.b.c"], lambda _: None)
        self._world: World | None = None
        self._token, self._login = "", None

    def mutate(self, rng: random.Random) -> bytes:
        self._open()
        return change_text(rng, self._token).encode(errors="replace")

    async def run(self, content: bytes) -> None:
        try:
            login = self._open().logins.authenticate(content.decode(errors="replace"), "t")
        except RequestRefused as refusal:
            self.codes[refusal.code.name] += 1
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content!r}") from error
        else:
            # The same token can be written in several ways: base64 has bits to spare.
            if login != self._login:
                raise Finding(f"{self.name}: {content!r} is the login {login}")
            self.codes["the same login"] += 1

    def _open(self) -> World:
        if self._world is None:
            self._world = World()
            self._token = self._world.give_token("alice", "t")
            self._login = self._world.logins.authenticate(self._token, "t")
        return self._world

    async def close(self) -> None:
        if self._world is not None:
            await self._world.close()
        self._world = None


Target = RpcTarget | TextTarget


def all_targets() -> list[Target]:
    """Return everything that is fuzzed, fresh."""
    return [
        RpcTarget("PaymentService/Login", SHELL, lambda _: payment_pb2.LoginRequest(user="alice", password="x")),
        RpcTarget("PaymentService/Logout", SHELL, lambda _: payment_pb2.LogoutRequest()),
        RpcTarget("PaymentService/Pay", SHELL, _pay),
        RpcTarget("PaymentService/PayMany", SHELL, lambda rng: payment_pb2.PayManyRequest(payments=[_pay(rng)])),
        RpcTarget("PaymentService/GetPayment", SHELL, lambda _: payment_pb2.GetPaymentRequest(payment_id=_ID)),
        RpcTarget("PaymentService/ListPayments", SHELL, lambda _: payment_pb2.ListPaymentsRequest(page_size=5)),
        RpcTarget("PaymentService/GetBalance", SHELL, lambda _: payment_pb2.GetBalanceRequest(bank="HDFC")),
        RpcTarget("RegistryService/RegisterBank", HDFC, lambda _: _REGISTER),
        RpcTarget("RegistryService/GetDecisions", HDFC, _inquire),
        RpcTarget("OperatorService/ShowPayment", OPERATOR, lambda _: _SHOW),
        RpcTarget("OperatorService/CollectTotals", OPERATOR, lambda _: operator_pb2.CollectTotalsRequest()),
        RpcTarget("OperatorService/TakeCut", OPERATOR, lambda _: operator_pb2.TakeCutRequest(keep_books=True)),
        RpcTarget("OperatorService/JudgeInDoubt", OPERATOR, _judge),
        RpcTarget("OperatorService/ResolveInDoubt", OPERATOR, _resolve),
        Transactions(),
        RpcTarget("BankService/CompareHeads", GATEWAY, lambda _: _COMPARE, node="bank"),
        RpcTarget(
            "BankService/GetBalances", GATEWAY, lambda _: bank_pb2.GetBalancesRequest(user="alice"), node="bank"
        ),
        RpcTarget("BankService/GetTransactions", GATEWAY, lambda _: _GET_TRANSACTIONS, node="bank"),
        RpcTarget("BankService/ListInDoubt", OPERATOR, lambda _: bank_pb2.ListInDoubtRequest(), node="bank"),
        RpcTarget("BankService/AskGateway", OPERATOR, lambda _: bank_pb2.AskGatewayRequest(), node="bank"),
        RpcTarget("BankService/GetTotals", GATEWAY, lambda _: bank_pb2.GetTotalsRequest(), node="bank"),
        *(RpcTarget(rpc, OPERATOR, good, node=node) for node in SERVICES for rpc, good in _AT_EVERY_NODE),
        BankAnswers(),
        TokenTarget(),
        TextTarget("cluster.yaml", [_read("cluster.yaml")], _load_config, cluster_config.ConfigMistaken),
        TextTarget("users.json", [_read("users.json")], lambda text: parse_users(text, "INR"), UsersMistaken),
        TextTarget("a shell line", _SHELL_LINES, language.parse, language.Mistake),
        TextTarget("a control request", _CONTROL_LINES, _read_control, ValueError),
    ]


_AT_EVERY_NODE: list[tuple[str, Callable[[random.Random], Message]]] = [
    ("AuditService/ReadStanding", lambda _: audit_pb2.ReadStandingRequest(cut=1)),
    ("AuditService/ReadRecords", lambda _: audit_pb2.ReadRecordsRequest(until=100)),
    ("AuditService/ReadLinks", lambda _: audit_pb2.ReadLinksRequest(until=100)),
    ("NodeService/GetStatus", lambda _: operator_pb2.GetStatusRequest()),
    ("Health/Check", lambda _: health_pb2.HealthCheckRequest()),
    ("Health/Watch", lambda _: health_pb2.HealthCheckRequest()),
]
_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_REGISTER = registry_pb2.RegisterBankRequest(name="HDFC", address="localhost:1")
_SHOW = operator_pb2.ShowPaymentRequest(payment_id=_ID)
_COMPARE = bank_pb2.CompareHeadsRequest(number=1)
_GET_TRANSACTIONS = bank_pb2.GetTransactionsRequest(payment_id=bytes(16))
_SHELL_LINES = [
    'pay bob@HDFC 1000.50 from ICICI memo "rent"',
    "login alice",
    "balance HDFC of bob",
    "history -n 20 of bob",
    f"payment {_ID}",
    "outbox cancel 01890a5d",
    "watch --for 10s",
    "2",
    "help",
]
_CONTROL_LINES = [
    '{"do": "status"}',
    '{"do": "events", "count": 5, "follow": true}',
    '{"do": "pause", "node": "HDFC"}',
]


def _pay(rng: random.Random) -> payment_pb2.PayRequest:
    return payment_pb2.PayRequest(
        payment_id=str(UUID(bytes=rng.randbytes(16))),
        payer_account="alice@ICICI",
        payee_account="bob@HDFC",
        amount_minor=rng.randint(1, 100),
        currency="INR",
        memo="rent",
    )


def _inquire(rng: random.Random) -> registry_pb2.GetDecisionsRequest:
    key = bank_pb2.TransactionKey(payment_id=rng.randbytes(16), payer="alice", epoch=1)
    return registry_pb2.GetDecisionsRequest(transactions=[key])


def _judge(rng: random.Random) -> operator_pb2.JudgeInDoubtRequest:
    key = bank_pb2.TransactionKey(payment_id=rng.randbytes(16), payer="alice", epoch=rng.randint(1, 3))
    return operator_pb2.JudgeInDoubtRequest(transactions=[key])


def _resolve(rng: random.Random) -> operator_pb2.ResolveInDoubtRequest:
    [key] = _judge(rng).transactions
    return operator_pb2.ResolveInDoubtRequest(bank="ICICI", transaction=key, who="eve", why="lost")


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _load_config(text: str) -> object:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        return cluster_config.load(Path(file.name))


def _read_control(text: str) -> object:
    return control_server._read_request(text.encode(errors="replace"))
