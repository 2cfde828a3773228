"""Certificates and authorities replaced under load, without a restart: no payment fails, nothing old is served."""

import json
import ssl
from collections import Counter
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from interbank.v1 import operator_pb2, operator_pb2_grpc, payment_pb2_grpc
from interbank.v1 import payment_pb2 as pb

from nodes.core.names import PeerKind
from nodes.runtime.tls import load_tls
from tests.authority import Authority, put_in_place
from tests.handshakes.storm import shake_hands
from tests.load import ROUTES, Load
from tests.running_nodes import BANKS, RunningNodes, wait_until

pytestmark = pytest.mark.cluster
NODES = ("gateway", *BANKS)


PER_CHANNEL = 25


def customers_of(nodes: RunningNodes, channels: Counter[str] | None = None) -> Load:
    """Each makes another channel every few payments; how many, is counted in ``channels``."""
    begun: Counter[str] = Counter() if channels is None else channels

    def pay_on_a_new_channel(route: tuple[str, str, str], load: Load) -> None:
        user, payer, payee = route
        begun[user] += 1
        with nodes.client(user) as caller:
            for _ in range(PER_CHANNEL):
                paid = caller.pay(payee, 1, payer=payer)
                assert paid.outcome == pb.OUTCOME_COMMITTED, paid
                load.has_paid()

    return Load(*(partial(pay_on_a_new_channel, route) for route in ROUTES), begins_with=50)


def served_serial(nodes: RunningNodes, name: str) -> str:
    """Shake hands with a node and read the serial that it shows."""
    files = nodes.operator_files
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    return shake_hands(context, int(nodes.addresses[name].rpartition(":")[2]))


def uses(nodes: RunningNodes, name: str, serial: str) -> bool:
    status = nodes.status(name)
    if status is None or status.certificate.has_older_lines:
        return False
    return status.certificate.serial == serial


def trusts(nodes: RunningNodes, name: str, authorities: tuple[str, ...]) -> bool:
    status = nodes.status(name)
    return status is not None and tuple(status.certificate.authorities) == authorities


def replace(nodes: RunningNodes, name: str, authority: Authority) -> str:
    """Replace a node's certificate; return the serial of the new one, once the node uses and shows it."""
    files = nodes.leafs[name]
    kind = PeerKind.GATEWAY if name == "gateway" else PeerKind.BANK
    identity = authority.identity(kind, "" if name == "gateway" else name)
    authority.replace_leaf(identity, files)
    serial = load_tls(files, kind=kind).serial
    wait_until(lambda: uses(nodes, name, serial), f"{name} uses its new certificate")
    wait_until(lambda: served_serial(nodes, name) == serial, f"{name} shows its new certificate")
    return serial


def lines(nodes: RunningNodes, name: str, event: str) -> list[dict]:
    text = (nodes.folder / f"{name}.log").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


def test_every_certificate_is_replaced_twice_under_load_and_no_payment_fails(nodes):
    with customers_of(nodes) as load:
        for _ in range(2):
            for name in NODES:
                serial = replace(nodes, name, nodes.authority)
                load.pay_more(10)
                assert lines(nodes, name, "certificate_served")[-1]["serial"] == serial
    assert not load.failures
    assert load.rounds > len(ROUTES)
    assert not lines(nodes, "gateway", "bank_away")
    # At the start, and for each replacement at the gateway: another stream took over.
    assert len(lines(nodes, "gateway", "bank_connected")) == len(BANKS) * 3


def test_another_authority_takes_over_under_load_and_the_old_one_is_worth_nothing_then(nodes, tmp_path):
    old, new = nodes.authority, Authority(tmp_path / "new")
    old_pem = old.ca.read_bytes()
    both = tuple(authority.serial for authority in (old, new))
    stale = Authority.leaf(old, old.identity(PeerKind.OPERATOR), file_name="stale")
    credentials = grpc.ssl_channel_credentials(
        *(each.read_bytes() for each in (old.ca, stale.key, stale.certificate))
    )
    channels: Counter[str] = Counter()
    with (
        grpc.secure_channel(nodes.addresses["gateway"], credentials) as live,
        customers_of(nodes, channels) as load,
    ):
        watch = health_pb2_grpc.HealthStub(live).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        next(watch)
        put_in_place(old.ca, old_pem + new.ca.read_bytes())
        for name in NODES:
            wait_until(lambda name=name: trusts(nodes, name, both), f"{name} trusts both")
        for name in NODES:
            replace(nodes, name, new)
            load.pay_more(10)
        new.replace_leaf(new.identity(PeerKind.CLIENT, "shell"), nodes.client_files)
        new.replace_leaf(new.identity(PeerKind.OPERATOR), nodes.operator_files)
        before = Counter(channels)
        wait_until(lambda: all(channels[user] > before[user] for user in before), "other channels")
        put_in_place(old.ca, new.ca.read_bytes())
        for name in NODES:
            wait_until(lambda name=name: trusts(nodes, name, (new.serial,)), f"{name} trusts the new one alone")
        load.pay_more(3 * PER_CHANNEL)
        with pytest.raises(grpc.RpcError) as cut_off:
            list(watch)
        with pytest.raises(grpc.RpcError) as refused:
            operator_pb2_grpc.NodeServiceStub(live).GetStatus(operator_pb2.GetStatusRequest(), timeout=5)
        assert cut_off.value.code() is refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert not load.failures
    assert not lines(nodes, "gateway", "bank_away")
    credentials = grpc.ssl_channel_credentials(
        new.ca.read_bytes(), stale.key.read_bytes(), stale.certificate.read_bytes()
    )
    with grpc.secure_channel(nodes.addresses["gateway"], credentials) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            payment_pb2_grpc.PaymentServiceStub(channel).Login(pb.LoginRequest(user="alice"), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_files_that_are_no_good_change_nothing_and_are_told_in_the_status(nodes):
    files = nodes.leafs["HDFC"]
    good = files.certificate.read_bytes()
    serial = served_serial(nodes, "HDFC")
    put_in_place(files.certificate, b"nonsense")
    wait_until(lambda: bool(nodes.status("HDFC").warnings), "a warning")
    assert nodes.status("HDFC").warnings[0].endswith("HDFC.crt is not a certificate in PEM: make it anew")
    assert served_serial(nodes, "HDFC") == serial
    put_in_place(files.certificate, good)
    wait_until(lambda: not nodes.status("HDFC").warnings, "no warning")
