"""Whose certificate is revoked is cut off within a second, on live connections too, and stays so."""

import json
import threading
import time

import grpc
import pytest
from interbank.v1 import bank_pb2, bank_pb2_grpc, registry_pb2, registry_pb2_grpc
from interbank.v1 import payment_pb2 as pb

from nodes.core.names import PeerKind
from tests.authority import put_in_place
from tests.running_nodes import Caller, RunningNodes, wait_until

pytestmark = pytest.mark.cluster
WITHIN_S = 2.0
"""A second is what is promised; another for a machine that does other things, too."""
CODE = grpc.StatusCode


@pytest.fixture
def nodes(tmp_path):
    nodes = RunningNodes(tmp_path)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


def revoke(nodes, *identities):
    """Revoke all certificates of these until now; return when that was, and since when others are good."""
    since = int(time.time())
    rows = [{"identity": identity.uri, "before": since} for identity in identities]
    put_in_place(nodes.revoked, json.dumps({"revoked": rows}).encode())
    return time.monotonic(), since


class Streaming:
    """A PayMany stream that is open and says nothing."""

    def __init__(self, caller):
        self._ends = threading.Event()
        self._stream = caller.stub.PayMany(self._requests(caller), timeout=60, metadata=caller.metadata)
        assert next(self._stream).results
        self.error = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _requests(self, caller):
        yield pb.PayManyRequest(payments=[caller.request("bob@HDFC", 1)])
        self._ends.wait(60)

    def _read(self):
        try:
            list(self._stream)
        except grpc.RpcError as error:
            self.ended_at, self.error = time.monotonic(), error
        self._ends.set()

    def wait(self):
        self._thread.join(20)
        return self.error


def test_a_revoked_client_is_cut_off_on_a_live_channel_and_in_the_middle_of_a_stream(nodes):
    shell = nodes.authority.identity(PeerKind.CLIENT, "shell")
    other = nodes.authority.leaf(nodes.authority.identity(PeerKind.CLIENT, "other"))
    with nodes.client("alice") as alice, nodes.channel("gateway", other, PeerKind.CLIENT) as channel:
        streaming = Streaming(alice)
        revoked_at, _ = revoke(nodes, shell)
        cut = streaming.wait()
        assert cut.code() is CODE.PERMISSION_DENIED
        assert cut.details() == "the certificate of client/shell was revoked: ask the operator for another"
        assert streaming.ended_at - revoked_at < WITHIN_S
        with pytest.raises(grpc.RpcError) as refused:
            alice.pay("bob@HDFC", 1)
        assert refused.value.code() is CODE.PERMISSION_DENIED
        # Others are not.
        assert Caller(channel, "bob").pay("alice@ICICI", 1, payer="bob@HDFC").outcome == pb.OUTCOME_COMMITTED


def test_a_revoked_bank_is_cut_off_both_ways_and_its_successor_is_let_in(nodes):
    hdfc = nodes.authority.identity(PeerKind.BANK, "HDFC")
    with (
        nodes.client("alice") as alice,
        nodes.channel("gateway", nodes.leafs["HDFC"], PeerKind.BANK) as as_bank,
    ):
        registry = registry_pb2_grpc.RegistryServiceStub(as_bank)
        register = registry_pb2.RegisterBankRequest(name="HDFC", address=nodes.addresses["HDFC"])
        registry.RegisterBank(register, timeout=5)
        assert alice.pay("bob@HDFC", 1).outcome == pb.OUTCOME_COMMITTED
        revoked_at, since = revoke(nodes, hdfc)
        wait_until(lambda: not is_connected(nodes, "HDFC"), "the gateway let go of HDFC")
        assert time.monotonic() - revoked_at < WITHIN_S
        with pytest.raises(grpc.RpcError) as refused:
            registry.RegisterBank(register, timeout=5)
        assert refused.value.code() is CODE.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as away:
            alice.pay("bob@HDFC", 1)
        assert (away.value.code(), "HDFC is away" in away.value.details()) == (CODE.UNAVAILABLE, True)
        assert alice.pay("charlie@SBI", 1).outcome == pb.OUTCOME_COMMITTED
        wait_until(lambda: "was revoked" in nodes.status("HDFC").not_ready_reason, "HDFC knows why")
        assert nodes.status("HDFC").warnings == ["its certificate was revoked: `cluster certs rotate HDFC`"]
        # It stays so: from its disk, the gateway knows it when it starts.
        nodes.kill("gateway")
        nodes.spawn("gateway")
        wait_until(lambda: (status := nodes.status("gateway")) is not None and status.is_ready, "gateway")
        assert not is_connected(nodes, "HDFC")
    nodes.authority.replace_leaf(hdfc, nodes.leafs["HDFC"], since=since)
    wait_until(lambda: is_connected(nodes, "HDFC"), "HDFC is back with its successor")
    with nodes.client("alice") as alice:
        assert alice.pay("bob@HDFC", 1).outcome == pb.OUTCOME_COMMITTED


def test_a_revoked_gateway_may_not_order_banks_about_on_a_live_stream(nodes):
    gateway = nodes.authority.identity(PeerKind.GATEWAY)
    with nodes.channel("HDFC", nodes.leafs["gateway"], PeerKind.GATEWAY) as channel:
        stream = bank_pb2_grpc.BankServiceStub(channel).Transact(iter_nothing(threading.Event()))
        next(stream)
        revoke(nodes, gateway)
        with pytest.raises(grpc.RpcError) as cut:
            next(stream)
        assert cut.value.code() is CODE.PERMISSION_DENIED


def iter_nothing(ends):
    ends.wait(20)
    yield bank_pb2.TransactRequest()


def test_a_file_of_revocations_that_is_lost_or_broken_revokes_no_less(nodes):
    shell = nodes.authority.identity(PeerKind.CLIENT, "shell")
    with nodes.client("alice") as alice:
        revoke(nodes, shell)
        wait_until(lambda: is_refused(alice), "refused")
        for spoil in (nodes.revoked.unlink, lambda: put_in_place(nodes.revoked, b"{}")):
            spoil()
            wait_until(lambda: bool(nodes.status("gateway").warnings), "a warning")
            assert is_refused(alice)
    nodes.kill("gateway")
    assert nodes.spawn("gateway").wait(20) == 78
    assert "is no list of revocations" in nodes.stderr("gateway")


def is_refused(caller):
    try:
        caller.balance("ICICI")
    except grpc.RpcError as error:
        return error.code() is CODE.PERMISSION_DENIED
    return False


def is_connected(nodes, name):
    status = nodes.status("gateway")
    return status is not None and any(bank.name == name and bank.is_connected for bank in status.gateway.banks)
