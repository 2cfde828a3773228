"""Attacks from outside and with certificates used wrongly, one line each.

Each is refused with the code of its row, says nothing of the inside, and leaves the books
of all banks and the gateway's tally as they were. Rows that need more than one call are
stories of their own below the table. Elsewhere are:

    A21, A33  tests/nodes/test_revocation.py, tests/gateway/test_logins.py
    A24       login_timing.py, by hand: `make login-timing`
    A25, A26  test_floods.py; how much each slows others: `make floods`
    A28       the control socket: test_control_socket.py
    A29       tests/orchestrator/chaos/test_crash_profile.py
    A31       tests/runtime/test_server_calls.py: nobody can force a bug from outside
    A32       tests/nodes/test_altered_books.py
"""

import hmac
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from interbank.v1 import bank_pb2, payment_pb2, registry_pb2

from nodes.core.messages import Decide, Prepare
from nodes.core.names import PeerKind
from tests.authority import CLUSTER, Authority
from tests.forged_tokens import encode_part, read_token, sign_token
from tests.running_nodes import ROOT, wait_until
from tests.security.site import CODE, End, Site, bearer, credentials, end_of, read_votes, write_transact

pytestmark = pytest.mark.cluster

LOGIN = "PaymentService/Login"
PAY = "PaymentService/Pay"
BALANCE = "PaymentService/GetBalance"


# -- A1 to A8: whoever is not let into TLS ------------------------------------


def no_certificate(site: Site) -> End:
    return dial(site, grpc.ssl_channel_credentials(site.authority.ca.read_bytes()))


def certificate_of_another_authority(site: Site) -> End:
    other = Authority(site.nodes.folder / "other")
    files = other.leaf(other.identity(PeerKind.CLIENT, "shell"))
    files = type(files)(site.authority.ca, files.certificate, files.key)
    return dial(site, credentials(files))


def odd_certificate(**wrong: Any) -> Callable[[Site], End]:
    return lambda site: dial(site, credentials(site.odd_leaf(**wrong)))


def no_tls(site: Site) -> End:
    return dial(site, None)


def old_tls(site: Site) -> End:
    """Offer TLS 1.1 at most: the handshake must fail, where the same line with TLS 1.2 succeeds."""
    with site.tls_line("gateway") as line:
        assert line.version() in ("TLSv1.2", "TLSv1.3")
    context = site.tls_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with site.tls_line("gateway", context):
            return End(CODE.OK, "", [])
    except (ssl.SSLError, ConnectionError):
        return End(CODE.UNAVAILABLE, "", [])


def server_of_another_name(site: Site) -> End:
    """Look for SBI where the gateway answers."""
    return dial(site, credentials(site.shell), name=site.authority.identity(PeerKind.BANK, "SBI").tls_name)


def dial(site: Site, tls: Any, name: str = "") -> End:
    with site.open_channel("gateway", tls, name=name) as channel:
        request = payment_pb2.LoginRequest(user="alice", password="alice123").SerializeToString()
        try:
            channel.unary_unary(f"/interbank.v1.{LOGIN}")(request, timeout=10)
        except grpc.RpcError as error:
            return end_of(error)
        return End(CODE.OK, "", [])


# -- A9 to A16: certificates of this cluster, used for what they are not -------


def bank_as_another(site: Site) -> End:
    request = registry_pb2.RegisterBankRequest(name="SBI", address="localhost:1")
    return site.call("RegistryService/RegisterBank", request, files=site.leaf(PeerKind.BANK, "HDFC"))


def bank_at_anothers_address(site: Site) -> End:
    """Dial SBI at HDFC's address, as the gateway would if HDFC had taken SBI's port."""
    with site.open_channel(
        "HDFC", credentials(site.leaf(PeerKind.GATEWAY)), name=site.peer("SBI").tls_name
    ) as line:
        try:
            line.unary_unary("/interbank.v1.BankService/GetTotals")(b"", timeout=10)
        except grpc.RpcError as error:
            return end_of(error)
    return End(CODE.OK, "", [])


def call(rpc: str, kind: PeerKind, name: str = "", *, node: str = "gateway") -> Callable[[Site], End]:
    return lambda site: site.call(rpc, files=site.leaf(kind, name), node=node)


def transact_as(kind: PeerKind, name: str = "") -> Callable[[Site], End]:
    request = write_transact(decides=[Decide(bytes(16), "alice", 1, commit=True)])
    return lambda site: site.stream("BankService/Transact", [request], node="SBI", files=site.leaf(kind, name))


def gateway_of_another_name(site: Site) -> End:
    files = site.odd_leaf(uris=[f"spiffe://{CLUSTER}/gateway/other"])
    return site.stream("BankService/Transact", [bank_pb2.TransactRequest(epoch=99)], node="SBI", files=files)


def gateway_of_another_cluster(site: Site) -> End:
    files = site.odd_leaf(uris=["spiffe://elsewhere.test/gateway"])
    return site.stream("BankService/Transact", [bank_pb2.TransactRequest(epoch=99)], node="SBI", files=files)


# -- A17 to A20: tokens --------------------------------------------------------


def over_another_certificate(site: Site) -> End:
    return site.call(BALANCE, files=site.leaf(PeerKind.CLIENT, "other"), metadata=site.as_user("alice"))


def pay_from_anothers_account(site: Site) -> End:
    return site.call(PAY, pay(payer="bob@HDFC", payee="alice@ICICI"), metadata=site.as_user("alice"))


def forged(make: Callable[[Site, dict[str, Any], dict[str, Any]], str]) -> Callable[[Site], End]:
    """Call with a token made from a good one's header and claims."""

    def attack(site: Site) -> End:
        return site.call(BALANCE, metadata=bearer(make(site, *read_token(site.token("alice")))))

    return attack


def signed(**change: Any) -> Callable[[Site], End]:
    """Change claims, or leave one out (None), and sign rightly: as if the key had been stolen."""

    def make(site: Site, header: dict[str, Any], claims: dict[str, Any]) -> str:
        claims = {name: value for name, value in (claims | change).items() if value is not None}
        return sign_token(header, claims, site.token_key)

    return forged(make)


def headed(**change: Any) -> Callable[[Site], End]:
    return forged(lambda site, header, claims: sign_token(header | change, claims, site.token_key))


def unsigned(site: Site, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{encode_part(header | {'alg': 'none'})}.{encode_part(claims)}."


def keyed_with_what_is_public(site: Site, header: dict[str, Any], claims: dict[str, Any]) -> str:
    public = site.token_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{encode_part(header | {'alg': 'HS256'})}.{encode_part(claims)}"
    return f"{text}.{encode_part(hmac.digest(public, text.encode(), 'sha256'))}"


def of_another_key(site: Site, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign_token(header, claims, ec.generate_private_key(ec.SECP256R1()))


def with_own_key_inside(site: Site, header: dict[str, Any], claims: dict[str, Any]) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return sign_token(header | {"jwk": jwk}, claims, key)


def two_tokens(site: Site) -> End:
    return site.call(BALANCE, metadata=site.as_user("alice") * 2)


def truncated(site: Site) -> End:
    return site.call(BALANCE, metadata=bearer(site.token("alice")[:-8]))


def in_an_hour() -> int:
    return int(time.time()) + 3600


# -- A27 to A30 ----------------------------------------------------------------


def unknown(rpc: str) -> Callable[[Site], End]:
    return lambda site: site.call(rpc, files=site.operator)


def traversing_name(site: Site) -> End:
    files = site.odd_leaf(uris=[f"spiffe://{CLUSTER}/bank/..%2f..%2fgateway"])
    request = registry_pb2.RegisterBankRequest(name="../../gateway", address="localhost:1")
    return site.call("RegistryService/RegisterBank", request, files=files)


def traversing_field(site: Site) -> End:
    request = payment_pb2.GetBalanceRequest(bank="../../certs/ca/ca.key")
    return site.call(BALANCE, request, metadata=site.as_user())


def line_in_a_memo(site: Site) -> End:
    request = pay(memo='x"}\n{"event":"forged"}')
    return site.call(PAY, request, metadata=site.as_user())


def pay(**fields: Any) -> payment_pb2.PayRequest:
    """Write a payment of alice's that would be carried out."""
    payer, payee = fields.pop("payer", "alice@ICICI"), fields.pop("payee", "bob@HDFC")
    wanted = {"payment_id": str(uuid4()), "payer_account": payer, "payee_account": payee} | fields
    return payment_pb2.PayRequest(**{"amount_minor": 100, "currency": "INR"} | wanted)


GATEWAY, BANK, CLIENT, OPERATOR = PeerKind.GATEWAY, PeerKind.BANK, PeerKind.CLIENT, PeerKind.OPERATOR
SHELL = f"spiffe://{CLUSTER}/client/shell"

ATTACKS: list[tuple[str, Callable[[Site], End], Any]] = [
    ("A1 no client certificate", no_certificate, CODE.UNAVAILABLE),
    ("A2 certificate of another authority", certificate_of_another_authority, CODE.UNAVAILABLE),
    ("A3 expired", odd_certificate(days=(-10, -1)), CODE.UNAVAILABLE),
    ("A4 not yet valid", odd_certificate(days=(1, 10)), CODE.UNAVAILABLE),
    ("A5 for servers only", odd_certificate(usages=[ExtendedKeyUsageOID.SERVER_AUTH]), CODE.UNAVAILABLE),
    ("A6 plaintext", no_tls, CODE.UNAVAILABLE),
    ("A7 TLS 1.1", old_tls, CODE.UNAVAILABLE),
    ("A8 a server of another name", server_of_another_name, CODE.UNAVAILABLE),
    ("A9 a name in the CN alone", odd_certificate(uris=[], common_name=SHELL), CODE.PERMISSION_DENIED),
    ("A10 two SPIFFE URIs", odd_certificate(uris=[SHELL, f"spiffe://{CLUSTER}/gateway"]), CODE.PERMISSION_DENIED),
    ("A10 https beside spiffe", odd_certificate(uris=["https://x.test/", SHELL]), CODE.PERMISSION_DENIED),
    ("A11 a bank registers as another", bank_as_another, CODE.PERMISSION_DENIED),
    ("A11 a bank answers as another", bank_at_anothers_address, CODE.UNAVAILABLE),
    ("A12 a client prepares and commits", transact_as(CLIENT, "shell"), CODE.PERMISSION_DENIED),
    (
        "A12 a client reads a bank",
        call("BankService/GetTotals", CLIENT, "shell", node="SBI"),
        CODE.PERMISSION_DENIED,
    ),
    ("A13 a bank pays", call(PAY, BANK, "HDFC"), CODE.PERMISSION_DENIED),
    ("A13 a bank logs in", call(LOGIN, BANK, "HDFC"), CODE.PERMISSION_DENIED),
    ("A14 a bank commits at another", transact_as(BANK, "HDFC"), CODE.PERMISSION_DENIED),
    (
        "A14 a bank reads another",
        call("BankService/GetBalances", BANK, "HDFC", node="SBI"),
        CODE.PERMISSION_DENIED,
    ),
    ("A16 a gateway of another name", gateway_of_another_name, CODE.PERMISSION_DENIED),
    ("A16 a gateway of another cluster", gateway_of_another_cluster, CODE.PERMISSION_DENIED),
    ("A17 a token over another certificate", over_another_certificate, CODE.UNAUTHENTICATED),
    ("A18 alice debits bob", pay_from_anothers_account, CODE.PERMISSION_DENIED),
    ("A20 alg none", forged(unsigned), CODE.UNAUTHENTICATED),
    ("A20 HS256 with the public key", forged(keyed_with_what_is_public), CODE.UNAUTHENTICATED),
    ("A20 another key", forged(of_another_key), CODE.UNAUTHENTICATED),
    ("A20 truncated", truncated, CODE.UNAUTHENTICATED),
    ("A20 kid of a file", headed(kid="../../certs/gateway/token.key"), CODE.UNAUTHENTICATED),
    ("A20 kid of a query", headed(kid="' OR 1=1 --"), CODE.UNAUTHENTICATED),
    ("A20 jku", headed(jku="https://evil.test/keys"), CODE.UNAUTHENTICATED),
    ("A20 jwk", forged(with_own_key_inside), CODE.UNAUTHENTICATED),
    ("A20 crit", headed(crit=["exp"]), CODE.UNAUTHENTICATED),
    ("A20 no exp", signed(exp=None), CODE.UNAUTHENTICATED),
    ("A20 no iat", signed(iat=None), CODE.UNAUTHENTICATED),
    ("A20 no iss", signed(iss=None), CODE.UNAUTHENTICATED),
    ("A20 no aud", signed(aud=None), CODE.UNAUTHENTICATED),
    ("A20 no sub", signed(sub=None), CODE.UNAUTHENTICATED),
    ("A20 no jti", signed(jti=None), CODE.UNAUTHENTICATED),
    ("A20 wrong aud", signed(aud="elsewhere.test"), CODE.UNAUTHENTICATED),
    ("A20 a bank's aud", signed(aud=f"spiffe://{CLUSTER}/bank/HDFC"), CODE.UNAUTHENTICATED),
    ("A20 wrong iss", signed(iss=f"spiffe://{CLUSTER}/bank/HDFC"), CODE.UNAUTHENTICATED),
    ("A20 wrong typ", headed(typ="JWT"), CODE.UNAUTHENTICATED),
    ("A20 nbf to come", signed(nbf=in_an_hour()), CODE.UNAUTHENTICATED),
    ("A20 iat to come", signed(iat=in_an_hour()), CODE.UNAUTHENTICATED),
    ("A20 a life too long", signed(exp=in_an_hour() + 3600), CODE.UNAUTHENTICATED),
    ("A20 for ever", signed(exp=10**30), CODE.UNAUTHENTICATED),
    ("A20 two Authorization entries", two_tokens, CODE.UNAUTHENTICATED),
    ("A20 another's name under the own stamp", signed(sub="bob"), CODE.UNAUTHENTICATED),
    ("A20 another role", signed(role=3), CODE.UNAUTHENTICATED),
    ("A27 reflection v1", unknown("grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), CODE.UNIMPLEMENTED),
    (
        "A27 reflection v1alpha",
        unknown("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        CODE.UNIMPLEMENTED,
    ),
    ("A27 channelz", unknown("grpc.channelz.v1.Channelz/GetServers"), CODE.UNIMPLEMENTED),
    ("A27 a failpoint", unknown("interbank.v1.DebugService/SetFailpoint"), CODE.UNIMPLEMENTED),
    ("A28 a path in a certificate's name", traversing_name, CODE.PERMISSION_DENIED),
    ("A28 a path in a field", traversing_field, CODE.NOT_FOUND),
    ("A30 a line end in a memo", line_in_a_memo, CODE.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("attack", "code"), [pytest.param(*row[1:], id=row[0]) for row in ATTACKS])
def test_an_attack_is_refused_and_changes_nothing(site, attack, code):
    before = site.books()
    assert attack(site).code is code
    assert site.books() == before


def test_A1_to_A8_handshakes_that_fail_leave_a_line_with_their_reasons(site):
    no_certificate(site)
    odd_certificate(days=(-10, -1))(site)
    certificate_of_another_authority(site)
    no_tls(site)

    def reasons() -> set[str]:
        lines = map(json.loads, (site.nodes.folder / "gateway.log").read_text().splitlines())
        return {reason for line in lines if line["event"] == "handshakes_failed" for reason in line["reasons"]}

    expected = {
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
        "CERTIFICATE_VERIFY_FAILED: certificate has expired",
        "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
        "WRONG_VERSION_NUMBER",
    }
    wait_until(lambda: expected <= reasons(), "a line for each reason")


# -- stories -------------------------------------------------------------------


def test_A15_captured_prepares_and_decisions_sent_again_change_nothing(site):
    paid = pay(amount_minor=1234)
    assert site.call(PAY, paid, metadata=site.as_user()).code is CODE.OK
    before = site.books()
    payment_id, epoch = bytes.fromhex(paid.payment_id.replace("-", "")), before[1].epoch
    prepare = Prepare(payment_id, "alice", epoch, "ICICI", "bob", "HDFC", 1234, "INR")
    captured = write_transact([prepare], [Decide(payment_id, "alice", epoch, commit=True)])
    for bank in ("ICICI", "HDFC"):
        end = site.stream("BankService/Transact", [captured], node=bank, files=site.leaf(GATEWAY))
        assert read_votes(end) == [(epoch, bank_pb2.VOTE_KIND_COMMITTED)]
    assert site.books() == before


def test_A16_a_prepare_of_an_epoch_that_is_over_for_its_payment_gets_no_answer(site):
    newer = site.authorise(Prepare(uuid4().bytes, "alice", 1000, "ICICI", "bob", "HDFC", 1, "INR"))
    undo = Decide(newer.payment_id, "alice", 1000, commit=False)
    requests = [
        write_transact([newer], keys=[site.token_key]),
        write_transact([newer._replace(epoch=999)], number=2),
        write_transact(decides=[undo], number=3),
    ]
    before = site.books()
    end = site.stream("BankService/Transact", requests, node="ICICI", files=site.leaf(GATEWAY))
    assert read_votes(end) == [(1000, bank_pb2.VOTE_KIND_YES)]
    assert site.books() == before


def test_A19_anothers_payment_id_is_a_payment_of_ones_own(site):
    bobs = pay(payer="bob@HDFC", payee="charlie@SBI")
    assert site.call(PAY, bobs, metadata=site.as_user("bob")).code is CODE.OK
    lookup = payment_pb2.GetPaymentRequest(payment_id=bobs.payment_id)
    assert site.call("PaymentService/GetPayment", lookup, metadata=site.as_user("alice")).code is CODE.NOT_FOUND
    own = pay(payment_id=bobs.payment_id, amount_minor=7)
    paid = payment_pb2.PayResponse.FromString(site.call(PAY, own, metadata=site.as_user("alice")).responses[0])
    assert (paid.outcome, paid.replayed) == (payment_pb2.OUTCOME_COMMITTED, False)
    seen = site.call("PaymentService/GetPayment", lookup, metadata=site.as_user("alice")).responses[0]
    assert payment_pb2.GetPaymentResponse.FromString(seen).payment.amount_minor == 7


def test_A21_a_token_is_worth_nothing_after_logout_on_a_stream_under_way_too(site):
    token = site.token("charlie", site.shell)
    goes_on = threading.Event()

    def requests():
        yield payment_pb2.PayManyRequest(payments=[pay(payer="charlie@SBI")]).SerializeToString()
        goes_on.wait(10)
        yield payment_pb2.PayManyRequest(payments=[pay(payer="charlie@SBI", amount_minor=3)]).SerializeToString()

    method = site.channel("gateway", site.shell).stream_stream("/interbank.v1.PaymentService/PayMany")
    responses = method(requests(), timeout=10, metadata=bearer(token))
    assert len(payment_pb2.PayManyResponse.FromString(next(responses)).results) == 1
    assert site.call("PaymentService/Logout", metadata=bearer(token)).code is CODE.OK
    before = site.books()
    goes_on.set()
    with pytest.raises(grpc.RpcError) as refused:
        next(responses)
    assert refused.value.code() is CODE.UNAUTHENTICATED
    assert site.call(BALANCE, metadata=bearer(token)).code is CODE.UNAUTHENTICATED
    assert site.books() == before


def test_A22_a_payment_whose_token_expires_meanwhile_ends_and_the_next_is_refused(site):
    header, claims = read_token(site.token("alice"))
    for _ in range(5):
        expires_at = int(time.time() + 0.4) + 1
        token = sign_token(header, claims | {"iat": expires_at - 60, "exp": expires_at}, site.token_key)
        site.nodes.kill("SBI", signal.SIGSTOP)
        with ThreadPoolExecutor(1) as beside:
            paying = beside.submit(site.call, PAY, pay(payee="charlie@SBI"), metadata=bearer(token))
            wait_until(lambda at=expires_at: time.time() > at, "the token's end")
            site.nodes.kill("SBI", signal.SIGCONT)
            end = paying.result()
        if end.code is not CODE.UNAUTHENTICATED:  # it was: a busy machine was too slow to begin in time
            break
    assert payment_pb2.PayResponse.FromString(end.responses[0]).outcome == payment_pb2.OUTCOME_COMMITTED
    assert site.call(BALANCE, metadata=bearer(token)).code is CODE.UNAUTHENTICATED


def test_A23_wrong_passwords_are_slowed_for_their_certificate_alone(site):
    guesser, owner = site.leaf(CLIENT, "guesser"), site.leaf(CLIENT, "owner")
    for user in ("bob", "nobody"):
        codes = [guess(site, user, guesser) for _ in range(12)]
        assert codes[0] is CODE.UNAUTHENTICATED
        assert codes[-1] is CODE.RESOURCE_EXHAUSTED
        assert set(codes) == {CODE.UNAUTHENTICATED, CODE.RESOURCE_EXHAUSTED}
    site.token("bob", owner)


def guess(site: Site, user: str, files: Any) -> Any:
    return site.call(LOGIN, payment_pb2.LoginRequest(user=user, password="guess"), files=files).code


def test_A28_a_bank_started_under_a_name_with_a_path_refuses(site):
    flags = [flag for flag in site.nodes.flags("SBI") if not flag.startswith("--name")]
    for name in ("../SBI", "SBI\n"):
        command = [sys.executable, "-m", "nodes.bank", *flags, f"--name={name}"]
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        assert "cannot be a bank's name" in ended.stderr


def test_A30_what_users_send_stays_one_line_of_the_log(site):
    user = 'eve"}\n{"event":"forged","user":"alice'
    site.call(LOGIN, payment_pb2.LoginRequest(user=user, password="x"))
    lines = (site.nodes.folder / "gateway.log").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert not [event for event in events if event["event"] == "forged"]
    assert [event for event in events if event.get("user") == user]
