"""A server over real TLS on loopback: who gets in, what is answered, what is never told."""

import json

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from interbank.v1 import access_pb2, bank_pb2, bank_pb2_grpc, payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime import access
from nodes.runtime.access import AccessRuleMissing, Login, collect_rules, current_caller
from nodes.runtime.event_log import open_event_log
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.server import NodeServer, PortUnusable
from nodes.runtime.tls import dial
from tests.authority import CLUSTER, Authority

CODE = grpc.StatusCode
PAYMENTS = "interbank.v1.PaymentService"


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    """Answers as the test says."""

    def __init__(self):
        self.entered = []
        self.error = None

    async def Login(self, request, context):
        self.entered.append(current_caller())
        if self.error is not None:
            raise self.error
        return payment_pb2.LoginResponse(token="a-secret-token", user=request.user)

    async def Pay(self, request, context):
        self.entered.append(current_caller())
        return payment_pb2.PayResponse(payment_id=request.payment_id)

    async def PayMany(self, request_iterator, context):
        async for request in request_iterator:
            if self.error is not None:
                raise self.error
            yield payment_pb2.PayManyResponse(results=[payment_pb2.PayResult() for _ in request.payments])


class Banks(bank_pb2_grpc.BankServiceServicer):
    async def GetTotals(self, request, context):
        return bank_pb2.GetTotalsResponse(bank="HDFC")


class Served:
    def __init__(self, folder):
        self.authority = Authority(folder / "certs")
        self.log = folder / "gateway.log"
        self.payments = Payments()
        self.role = access_pb2.ROLE_CUSTOMER
        tls = self.authority.tls(PeerKind.GATEWAY)
        log = open_event_log(self.log, "gateway")
        self.server = NodeServer("localhost:0", tls, log, authenticate=self.authenticate)
        self.server.add(PAYMENTS, payment_pb2_grpc.add_PaymentServiceServicer_to_server, self.payments)
        self.server.add("interbank.v1.BankService", bank_pb2_grpc.add_BankServiceServicer_to_server, Banks())

    def authenticate(self, token, thumbprint):
        if token != "good":
            raise RequestRefused(CODE.UNAUTHENTICATED, "log in again")
        return Login("alice", self.role, "id", 2e9)

    def dial(self, tls):
        return dial(f"localhost:{self.server.port}", tls, self.authority.identity(PeerKind.GATEWAY))

    def client(self):
        return self.dial(self.authority.tls(PeerKind.CLIENT, "shell"))

    def lines(self, event):
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] == event]


@pytest.fixture
async def served(tmp_path):
    served = Served(tmp_path)
    await served.server.start()
    yield served
    await served.server.stop(0)


async def fails(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def login(channel, **fields):
    return payment_pb2_grpc.PaymentServiceStub(channel).Login(payment_pb2.LoginRequest(**fields), timeout=5)


def pay(channel, *metadata):
    stub = payment_pb2_grpc.PaymentServiceStub(channel)
    return stub.Pay(payment_pb2.PayRequest(payment_id="x"), timeout=5, metadata=metadata)


async def test_a_method_learns_who_calls(served):
    async with served.client() as channel:
        await login(channel, user="alice")
    [caller] = served.payments.entered
    assert caller.identity == served.authority.identity(PeerKind.CLIENT, "shell")
    assert len(caller.thumbprint) == 43
    assert caller.login is None


async def test_strangers_do_not_get_past_the_handshake(served, tmp_path):
    target = f"localhost:{served.server.port}"
    own_ca = (served.authority.ca).read_bytes()
    other = Authority(tmp_path / "other")
    expired = served.authority.leaf(served.authority.identity(PeerKind.CLIENT, "old"), days=(-10, -1))
    stranger = other.leaf(other.identity(PeerKind.CLIENT, "shell"))
    without = grpc.ssl_channel_credentials(own_ca)
    strangers = [
        grpc.ssl_channel_credentials(own_ca, files.key.read_bytes(), files.certificate.read_bytes())
        for files in (expired, stranger)
    ]
    for credentials in (without, *strangers):
        async with grpc.aio.secure_channel(target, credentials) as channel:
            assert (await fails(login(channel))).code() is CODE.UNAVAILABLE
    async with grpc.aio.insecure_channel(target) as channel:
        assert (await fails(login(channel))).code() is CODE.UNAVAILABLE
    assert not served.payments.entered


@pytest.mark.parametrize(
    ("uris", "common_name"),
    [
        ([], f"spiffe://{CLUSTER}/client/shell"),
        ([f"spiffe://{CLUSTER}/client/shell", f"spiffe://{CLUSTER}/gateway"], "x"),
        ([f"spiffe://{CLUSTER}/client/shell", "https://example.org/"], "x"),
        (["spiffe://elsewhere.test/client/shell"], "x"),
        ([f"spiffe://{CLUSTER}/client/..%2fgateway"], "x"),
    ],
)
async def test_only_one_spiffe_uri_of_this_cluster_says_who_somebody_is(served, uris, common_name):
    files = served.authority.leaf(
        served.authority.identity(PeerKind.CLIENT, "odd"), uris=uris, common_name=common_name
    )
    credentials = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    async with grpc.aio.secure_channel(f"localhost:{served.server.port}", credentials) as channel:
        assert (await fails(login(channel))).code() is CODE.PERMISSION_DENIED
    assert not served.payments.entered


async def test_a_customers_certificate_may_not_call_a_bank_service_nor_a_banks_the_clients(served):
    async with served.client() as channel:
        stub = bank_pb2_grpc.BankServiceStub(channel)
        refused = await fails(stub.GetTotals(bank_pb2.GetTotalsRequest(), timeout=5))
        assert refused.code() is CODE.PERMISSION_DENIED
        stream = stub.Transact(iter([bank_pb2.TransactRequest()]), timeout=5)
        assert (await fails(stream.read())).code() is CODE.PERMISSION_DENIED
    async with served.dial(served.authority.tls(PeerKind.BANK, "HDFC")) as channel:
        refused = await fails(login(channel))
        assert refused.code() is CODE.PERMISSION_DENIED
        assert refused.details() == "Login is not for the certificate of bank/HDFC"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "good")],
        [("authorization", "Basic good")],
        [("authorization", "Bearer bad")],
        [("authorization", "Bearer good"), ("authorization", "Bearer good")],
    ],
)
async def test_exactly_one_good_token_is_asked_for(served, metadata):
    async with served.client() as channel:
        assert (await fails(pay(channel, *metadata))).code() is CODE.UNAUTHENTICATED
        assert not served.payments.entered
        await pay(channel, ("authorization", "Bearer good"))
    assert served.payments.entered[0].login.user == "alice"


async def test_a_role_that_is_not_named_is_refused_with_a_sentence(served, monkeypatch):
    monkeypatch.setattr(served, "role", access_pb2.ROLE_OPERATOR)
    async with served.client() as channel:
        refused = await fails(pay(channel, ("authorization", "Bearer good")))
    assert refused.code() is CODE.PERMISSION_DENIED
    assert refused.details() == "Pay needs the role customer; alice has the role operator"


def test_a_server_whose_rpc_has_no_rule_does_not_start(monkeypatch):
    monkeypatch.setattr(access, "_HEALTH", "another")
    with pytest.raises(AccessRuleMissing, match=r"/grpc.health.v1.Health/Check has no access rule"):
        collect_rules(["grpc.health.v1.Health"])


async def test_a_server_that_cannot_check_logins_does_not_serve_rpcs_that_ask_for_one(tmp_path):
    authority = Authority(tmp_path)
    log = open_event_log(tmp_path / "x.log", "x")
    server = NodeServer("localhost:0", authority.tls(PeerKind.GATEWAY), log)
    server.add(PAYMENTS, payment_pb2_grpc.add_PaymentServiceServicer_to_server, Payments())
    with pytest.raises(AccessRuleMissing):
        await server.start()


async def test_a_port_that_is_taken_is_named(served):
    log = open_event_log(served.log, "second")
    tls = served.authority.tls(PeerKind.GATEWAY)
    second = NodeServer(f"localhost:{served.server.port}", tls, log, authenticate=served.authenticate)
    with pytest.raises(PortUnusable, match=f"localhost:{served.server.port}"):
        await second.start()


async def test_the_text_of_a_bug_never_reaches_the_caller_but_the_log(served):
    served.payments.error = RuntimeError("SELECT secret FROM vault")
    async with served.client() as channel:
        refused = await fails(login(channel))
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        stream = stub.PayMany(
            iter([payment_pb2.PayManyRequest()]), timeout=5, metadata=[("authorization", "Bearer good")]
        )
        streamed = await fails(stream.read())
    for error in (refused, streamed):
        assert error.code() is CODE.INTERNAL
        assert "vault" not in error.details()
    [first, _] = served.lines("internal_error")
    assert "SELECT secret FROM vault" in first["exception"]
    assert refused.details() == f"internal error {first['error_id']}"


async def test_a_refusal_carries_its_violations_and_when_to_try_again(served):
    served.payments.error = RequestRefused(CODE.INVALID_ARGUMENT, "bad", [("user", "is odd")], 0.25)
    async with served.client() as channel:
        refused = await fails(login(channel))
    assert (refused.code(), refused.details()) == (CODE.INVALID_ARGUMENT, "bad")
    status = Status.FromString(dict(refused.trailing_metadata())["grpc-status-details-bin"])
    bad_request, retry_info = BadRequest(), RetryInfo()
    assert status.details[0].Unpack(bad_request)
    assert status.details[1].Unpack(retry_info)
    assert [(found.field, found.description) for found in bad_request.field_violations] == [("user", "is odd")]
    assert retry_info.retry_delay.ToMilliseconds() == 250


async def test_every_request_and_response_is_logged_without_secrets(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.LoginRequest(user="alice\nx", password="hunter2")
        await stub.Login(request, timeout=5, metadata=[("x-request-id", "mine-1")])
        await pay(channel, ("authorization", "Bearer good"))
    text = served.log.read_text()
    for secret in ("hunter2", "a-secret-token", "Bearer", "good"):
        assert secret not in text
    [asked, paid] = served.lines("request")
    assert (asked["password"], asked["user"], asked["request_id"]) == ("***", "alice\nx", "mine-1")
    assert asked["peer"] == f"{CLUSTER}/client/shell"
    assert paid["payment_id"] == "x"
    assert [line["code"] for line in served.lines("response")] == ["OK", "OK"]


async def test_a_stream_has_a_line_a_message_and_none_a_payment(served):
    async with served.client() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.PayManyRequest(payments=[payment_pb2.PayRequest(memo="m")] * 50)
        responses = stub.PayMany(iter([request] * 3), timeout=5, metadata=[("authorization", "Bearer good")])
        assert [len(response.results) async for response in responses] == [50, 50, 50]
    assert [line["payments"] for line in served.lines("stream_request")] == [50] * 3
    assert [line["results"] for line in served.lines("stream_response")] == [50] * 3


async def test_a_unary_request_beyond_the_limit_is_refused(served):
    async with served.client() as channel:
        refused = await fails(login(channel, user="x" * 70_000))
    assert refused.code() is CODE.RESOURCE_EXHAUSTED
    assert not served.payments.entered


async def test_health_says_serving_only_when_ready(served):
    async with served.client() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        states = [(await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status]
        await served.server.set_ready(True)
        states.append((await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status)
    assert states == [health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING]


async def test_another_banks_certificate_fails_the_handshake_of_whoever_dials(served):
    shell = served.authority.tls(PeerKind.CLIENT, "shell")
    bank = served.authority.identity(PeerKind.BANK, "HDFC")
    async with dial(f"localhost:{served.server.port}", shell, bank) as channel:
        assert (await fails(login(channel))).code() is CODE.UNAVAILABLE
