"""What is fuzzed, and what must hold of each request.

Of every RPC: the code is one that the method may end with, never UNKNOWN, and INTERNAL
for bytes that cannot be decoded alone; a request that is refused has changed no row at
the gateway or a bank; the loops go on. Of every text: it is read, or refused by the
one error of its reader.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from interbank.v1 import bank_pb2, operator_pb2, payment_pb2, registry_pb2

from nodes.core.messages import Decide, Prepare
from nodes.core.names import Identity
from nodes.core.users import UsersMistaken, parse_users
from nodes.gateway.conversions import write_decides, write_prepares
from nodes.runtime.refusal import RequestRefused
from orchestrator.layout import config as cluster_config
from orchestrator.shell import language
from orchestrator.supervision import control_server
from tests.fuzz.mutation import Mutator, change_text
from tests.fuzz.world import GATEWAY, HDFC, OPERATOR, SHELL, World

CODE = grpc.StatusCode
NEVER = frozenset({CODE.UNKNOWN, CODE.UNIMPLEMENTED, CODE.DEADLINE_EXCEEDED, CODE.CANCELLED, CODE.DATA_LOSS})
_WORLD_LASTS = 2_000
ROOT = Path(__file__).parent.parent.parent


class Finding(AssertionError):
    """Something that must hold did not; the message says what, and for which bytes."""


class RpcTarget:
    """One RPC of one node, called with one kind of certificate."""

    def __init__(self, rpc: str, peer: Identity, good: Callable[[random.Random], Message]) -> None:
        self.name = rpc
        self.codes: Counter[str] = Counter()
        self._peer = peer
        self.good = good
        service, _, method = rpc.partition("/")
        described = descriptor_pool.Default().FindServiceByName(f"interbank.v1.{service}")
        self._input = described.methods_by_name[method].input_type
        self._world: World | None = None
        self._used = 0

    def mutate(self, rng: random.Random) -> bytes:
        """Make one request."""
        return Mutator(rng, self._input, lambda: self.good(rng)).request()

    async def run(self, content: bytes) -> None:
        """Send one request; raises `Finding`."""
        if self._world is None or self._used >= _WORLD_LASTS:
            await self.close()
            self._world = World()
            await self._world.settle()
        self._used += 1
        before = self._world.changes()
        try:
            code, details = await self._world.call(self.name, content, self._peer)
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content.hex()}") from error
        self.codes[code.name] += 1
        self._judge(content, code, details, self._world.changes() - before)

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

    async def close(self) -> None:
        """End the world."""
        if self._world is not None:
            await self._world.close()
        self._world, self._used = None, 0


class BankAnswers(RpcTarget):
    """What a bank gone bad answers on the gateway's stream: taken, or refused as the line would break."""

    def __init__(self) -> None:
        super().__init__("BankService/Transact", GATEWAY, lambda _: bank_pb2.TransactResponse())
        self.name = "a bank's answers"
        self._input = bank_pb2.TransactResponse.DESCRIPTOR

    async def run(self, content: bytes) -> None:
        if self._world is None or self._used >= _WORLD_LASTS:
            await self.close()
            self._world = World()
        self._used += 1
        try:
            answer = bank_pb2.TransactResponse.FromString(content)
        except DecodeError:
            self.codes["undecodable"] += 1
            return
        try:
            self._world.banks["HDFC"].answer(answer)
            self.codes["taken"] += 1
        except (ValueError, ConnectionError):
            self.codes["refused"] += 1
        try:
            await self._world.settle()
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
    """What is brought as a token: never a login, unless it was given."""

    def __init__(self) -> None:
        super().__init__("a token", ["a.b.c"], lambda _: None)
        self._world: World | None = None

    def mutate(self, rng: random.Random) -> bytes:
        world = self._open()
        token, _ = world.logins._tokens.issue("alice", 1, token_id="x", thumbprint="t", now=1e9)
        return change_text(rng, token).encode(errors="replace")

    async def run(self, content: bytes) -> None:
        try:
            self._open().logins.authenticate(content.decode(errors="replace"), "t")
        except RequestRefused as refusal:
            self.codes[refusal.code.name] += 1
        except Exception as error:
            raise Finding(f"{self.name}: {error!r} for {content!r}") from error
        else:
            raise Finding(f"{self.name}: {content!r} is a login")

    def _open(self) -> World:
        self._world = self._world or World()
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
        RpcTarget("BankService/Transact", GATEWAY, _transact),
        RpcTarget("BankService/GetBalances", GATEWAY, lambda _: bank_pb2.GetBalancesRequest(user="alice")),
        RpcTarget("BankService/GetTransactions", GATEWAY, lambda _: _GET_TRANSACTIONS),
        RpcTarget("BankService/GetTotals", GATEWAY, lambda _: bank_pb2.GetTotalsRequest()),
        BankAnswers(),
        TokenTarget(),
        TextTarget("cluster.yaml", [_read("cluster.yaml")], _load_config, cluster_config.ConfigMistaken),
        TextTarget("users.json", [_read("users.json")], lambda text: parse_users(text, "INR"), UsersMistaken),
        TextTarget("a shell line", _SHELL_LINES, language.parse, language.Mistake),
        TextTarget("a control request", _CONTROL_LINES, _read_control, ValueError),
    ]


_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_REGISTER = registry_pb2.RegisterBankRequest(name="HDFC", address="localhost:1")
_SHOW = operator_pb2.ShowPaymentRequest(payment_id=_ID)
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


def _transact(rng: random.Random) -> bank_pb2.TransactRequest:
    payment_id, epoch = rng.randbytes(16), rng.randint(1, 3)
    prepare = Prepare(payment_id, "alice", epoch, "ICICI", "bob", "HDFC", rng.randint(1, 100), "INR")
    decide = Decide(payment_id, "alice", epoch, rng.random() < 0.5)
    return bank_pb2.TransactRequest(
        epoch=epoch, prepares=write_prepares([prepare]), decides=write_decides([decide]), number=1
    )


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _load_config(text: str) -> object:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        return cluster_config.load(Path(file.name))


def _read_control(text: str) -> object:
    return control_server._read_request(text.encode(errors="replace"))
