"""The audit of running nodes: never a false alarm under load, and whatever was altered is found."""

from contextlib import ExitStack

import grpc
import pytest
from interbank.v1 import audit_pb2, audit_pb2_grpc, operator_pb2, operator_pb2_grpc
from interbank.v1 import payment_pb2 as pb

from nodes.client import BankInspector, OperatorClient, read_books
from nodes.core.audit import audit
from nodes.core.names import PeerKind
from nodes.runtime.tls import load_tls
from tests.nodes.test_kills import PAID_IN_MINOR, Payers
from tests.running_nodes import BANKS, RunningNodes, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def nodes(tmp_path):
    nodes = RunningNodes(tmp_path)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


def look(nodes):
    """Audit once, at one cut."""
    tls = load_tls(nodes.operator_files, kind=PeerKind.OPERATOR)
    with ExitStack() as lines:
        gateway = lines.enter_context(OperatorClient(nodes.addresses["gateway"], tls))
        banks = {name: lines.enter_context(BankInspector(name, nodes.addresses[name], tls)) for name in BANKS}
        return audit(*read_books(gateway, banks))


def test_no_cut_under_load_raises_a_false_alarm(nodes):
    """Every single look must be clean, not only what stays over several; and some must meet payments under way."""
    payers = Payers(nodes)
    with nodes.channel("gateway", nodes.operator_files, PeerKind.OPERATOR) as channel:
        # As the gateway's own money check does, in between: the books of the first are kept.
        operator = operator_pb2_grpc.OperatorServiceStub(channel)
        kept = operator.TakeCut(operator_pb2.TakeCutRequest(keep_books=True), timeout=10)
        operator.TakeCut(operator_pb2.TakeCutRequest(), timeout=10)
        request = audit_pb2.ReadStandingRequest(cut=kept.cut)
        audit_pb2_grpc.AuditServiceStub(channel).ReadStanding(request, timeout=10)
    reports = []
    wait_until(lambda: len(payers.outcomes) > 20, "payments")
    for _ in range(12):
        reports.append(look(nodes))
    payers.stop()
    assert [str(found) for report in reports for found in report.findings] == []
    assert {report.money["INR"].paid_in for report in reports} == {PAID_IN_MINOR}
    assert reports[-1].decisions > reports[0].decisions > 20
    assert reports[-1].entries > 1.5 * reports[-1].decisions


def test_a_bank_whose_ledger_was_replaced_is_not_dealt_with(nodes):
    """Its file is sound in itself; but the gateway has heard of another chain."""
    with nodes.client("alice") as alice:
        alice.pay("bob@HDFC", 500)
        alice.pay("bob@HDFC", 500)
        nodes.kill("HDFC")
        for path in nodes.folder.glob("HDFC.db*"):
            path.unlink()
        nodes.spawn("HDFC")
        log = nodes.folder / "gateway.log"
        wait_until(lambda: "HDFC: its chain was made anew" in log.read_text(), "the gateway noticed")
        with pytest.raises(grpc.RpcError) as refused:
            alice.pay("bob@HDFC", 500)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert alice.pay("charlie@SBI", 500).outcome == pb.OUTCOME_COMMITTED
        status = nodes.status("HDFC")
        assert status is not None
        assert not status.is_ready
