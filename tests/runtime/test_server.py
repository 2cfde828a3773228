"""A server over real TLS on loopback: who gets in, and when it does not start."""

import asyncio
import socket
from contextlib import AsyncExitStack, closing

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from interbank.v1 import access_pb2, bank_pb2, bank_pb2_grpc, payment_pb2, payment_pb2_grpc

from nodes.core.names import Identity, PeerKind
from nodes.runtime import server
from nodes.runtime.access import AccessRuleMissing, Gatekeeper
from nodes.runtime.event_log import open_event_log
from nodes.runtime.ports import PortUnusable
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.server import NodeServer
from nodes.runtime.tls import dial, read_peer
from tests.authority import CLUSTER, Authority
from tests.runtime.served import CODE, LOGGED_IN, PAYMENTS, Payments, fails, login, pay

UNRULED = "interbank.test.Unruled"


async def test_a_method_learns_who_calls(served):
    tls = served.authority.tls(PeerKind.CLIENT, "shell")
    async with served.dial(tls) as channel:
        await login(channel, user="alice")
    [caller] = served.payments.entered
    assert caller.identity == tls.identity
    assert caller.thumbprint == tls.thumbprint
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
        refused = await fails(stub.GetTransactions(bank_pb2.GetTransactionsRequest(), timeout=5))
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
        await pay(channel, LOGGED_IN)
    assert served.payments.entered[0].login.user == "alice"


async def test_a_role_that_is_not_named_is_refused_with_a_sentence(served, monkeypatch):
    monkeypatch.setattr(served, "role", access_pb2.ROLE_OPERATOR)
    async with served.client() as channel:
        refused = await fails(pay(channel, LOGGED_IN))
    assert refused.code() is CODE.PERMISSION_DENIED
    assert refused.details() == "Pay needs the role customer; alice has the role operator"


def add_unruled(_, server):
    """Register a service of one method without a rule, as generated code would."""
    methods = {"Do": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(UNRULED, methods),))
    server.add_registered_method_handlers(UNRULED, methods)


@pytest.fixture(scope="session", autouse=True)
def unruled_service():
    file = descriptor_pb2.FileDescriptorProto(name="unruled.proto", package="interbank.test", syntax="proto3")
    file.message_type.add(name="Nothing")
    method = {"name": "Do", "input_type": ".interbank.test.Nothing", "output_type": ".interbank.test.Nothing"}
    file.service.add(name="Unruled").method.add(**method)
    descriptor_pool.Default().Add(file)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (UNRULED, "/interbank.test.Unruled/Do has no access rule"),
        (PAYMENTS, "interbank.test.Unruled is registered, but no rules are read for it"),
    ],
)
async def test_a_server_whose_rpc_has_no_rule_does_not_start(served, name, said):
    tls = served.authority.tls(PeerKind.GATEWAY)
    log = open_event_log(served.log, "second")
    unruled = NodeServer("localhost:0", tls, log, authenticate=served.authenticate)
    unruled.add(name, add_unruled, None)
    with pytest.raises(AccessRuleMissing, match=said):
        await unruled.start()
    assert unruled.port == 0


@pytest.mark.parametrize("kind", [PeerKind.CLIENT, PeerKind.OPERATOR, PeerKind.BANK, PeerKind.GATEWAY])
def test_a_method_without_a_rule_is_for_nobody(kind):
    uri = Identity(CLUSTER, kind, {PeerKind.CLIENT: "shell", PeerKind.BANK: "HDFC"}.get(kind, "")).uri
    peer = read_peer({"peer_spiffe_id": [uri.encode()]})
    with pytest.raises(RequestRefused) as refused:
        Gatekeeper(CLUSTER, {}, None).admit("/interbank.v1.PaymentService/Pay", peer, ())
    assert refused.value.code is CODE.PERMISSION_DENIED


async def test_a_server_that_cannot_check_logins_does_not_serve_rpcs_that_ask_for_one(tmp_path):
    authority = Authority(tmp_path)
    log = open_event_log(tmp_path / "x.log", "x")
    unable = NodeServer("localhost:0", authority.tls(PeerKind.GATEWAY), log)
    unable.add(PAYMENTS, payment_pb2_grpc.add_PaymentServiceServicer_to_server, Payments())
    with pytest.raises(AccessRuleMissing):
        await unable.start()


def second_server(served, port):
    log = open_event_log(served.log, "second")
    tls = served.authority.tls(PeerKind.GATEWAY)
    return NodeServer(f"localhost:{port}", tls, log, authenticate=served.authenticate)


async def test_a_second_server_on_the_same_port_is_refused(served):
    with pytest.raises(PortUnusable, match=f"localhost:{served.server.port}"):
        await second_server(served, served.server.port).start()


async def test_a_second_server_that_was_a_moment_too_late_is_refused_too(served, monkeypatch):
    async def find_it_free(listen):
        pass

    monkeypatch.setattr(server, "demand_free_port", find_it_free)
    with pytest.raises(PortUnusable, match=f"localhost:{served.server.port}"):
        await second_server(served, served.server.port).start()


async def test_a_port_that_another_program_has_in_part_is_not_served_by_half(served):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, pytest.raises(PortUnusable):
        await second_server(served, taken.getsockname()[1]).start()


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


async def test_more_calls_at_once_than_grpc_would_queue_are_all_answered(served):
    request = payment_pb2.LoginRequest(user="alice")
    async with AsyncExitStack() as opened:
        channels = [await opened.enter_async_context(served.client()) for _ in range(3)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        stubs = map(payment_pb2_grpc.PaymentServiceStub, channels)
        calls = [stub.Login(request, timeout=60) for stub in stubs for _ in range(900)]
        ends = await asyncio.gather(*(call.code() for call in calls))
    assert set(ends) == {CODE.OK}


async def test_no_proxy_that_the_environment_names_is_asked(served, monkeypatch):
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
    async with served.client() as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)


@pytest.mark.parametrize(("days", "is_heard"), [((-2, 1), True), ((-2, -1), False)])
def test_a_certificate_that_has_expired_since_its_handshake_is_heard_no_more(tmp_path, days, is_heard):
    """A session of TLS can be taken up again long after the certificate that it began with is over."""
    authority = Authority(tmp_path)
    identity = authority.identity(PeerKind.CLIENT, "shell")
    pem = authority.leaf(identity, days=days).certificate.read_bytes()
    peer = read_peer({"peer_spiffe_id": [identity.uri.encode()], "x509_pem_cert": [pem]})
    gatekeeper = Gatekeeper(CLUSTER, {}, None)
    if is_heard:
        assert gatekeeper.identify(peer) == identity
        return
    with pytest.raises(RequestRefused, match="has expired") as refused:
        gatekeeper.identify(peer)
    assert refused.value.code is CODE.PERMISSION_DENIED
