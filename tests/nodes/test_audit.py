"""The audit of running nodes: never a false alarm under load, and whatever was altered is found."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from interbank.v1 import audit_pb2, audit_pb2_grpc, operator_pb2, operator_pb2_grpc
from interbank.v1 import payment_pb2 as pb

from nodes.client import BankInspector, OperatorClient, read_books
from nodes.core.audit import audit
from nodes.core.names import PeerKind
from nodes.runtime.tls import load_tls
from tests.altered_books import alter
from tests.nodes.test_kills import PAID_IN_MINOR, Payers
from tests.running_nodes import BANKS, DEADLINE_S, RunningNodes, wait_until

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
        with read_books(gateway, banks) as books:
            return audit(*books)


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


def test_any_number_of_audits_at_once_are_all_clean(nodes):
    payers = Payers(nodes)
    with ThreadPoolExecutor(8) as auditors:
        reports = list(auditors.map(look, [nodes] * 40))
    payers.stop()
    assert [str(found) for report in reports for found in report.findings] == []
    assert {report.money["INR"].paid_in for report in reports} == {PAID_IN_MINOR}


class Streams:
    """Customers who pay on streams, hundreds of payments a message, the next as soon as one is answered."""

    PAYMENTS_A_MESSAGE = 512

    def __init__(self, nodes: RunningNodes) -> None:
        self.outcomes: list[int] = []
        self._nodes = nodes
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._pay_on, args=route) for route in Payers.ROUTES]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let all that was sent end."""
        self._ends.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _pay_on(self, user, payer, payee):
        has_room = threading.Semaphore(2)

        def messages():
            while has_room.acquire() and not self._ends.is_set():
                requests = [caller.request(payee, 1, payer=payer) for _ in range(self.PAYMENTS_A_MESSAGE)]
                yield pb.PayManyRequest(payments=requests)

        with self._nodes.client(user) as caller:
            answered = 0
            for response in caller.stub.PayMany(messages(), metadata=caller.metadata):
                self.outcomes += [result.outcome for result in response.results]
                answered += len(response.results)
                while answered >= self.PAYMENTS_A_MESSAGE:
                    answered -= self.PAYMENTS_A_MESSAGE
                    has_room.release()


OPENING_MINOR = 1_000_000
PAST = 40_000
"""Payments that were made before: more than a node looks at when it starts."""


def write_past(folder):
    words = [f"--gateway={folder / 'gateway.db'}", f"--transactions={folder / 'transactions.json'}"]
    for bank in BANKS:
        accounts = folder / f"{bank}.accounts.json"
        opening = dict.fromkeys(("alice", "bob", "charlie"), OPENING_MINOR)
        accounts.write_text(json.dumps({"currency": "INR", "accounts": opening}))
        words += ["--bank", bank, str(folder / f"{bank}.db"), str(accounts)]
    command = [sys.executable, "-m", "nodes.preload", *words, "--payees=3", f"--payments={PAST}"]
    subprocess.run(command, check=True, timeout=60)


def test_under_the_heaviest_load_every_cut_is_exact_and_one_altered_record_is_found(tmp_path):
    write_past(tmp_path)
    nodes = RunningNodes(tmp_path)
    alter(tmp_path / "gateway.db", "UPDATE decision SET amount_minor = 7 WHERE sequence = 5")
    streams = None
    try:
        nodes.start()
        streams = Streams(nodes)
        reports = []
        for _ in range(2):
            goal = len(streams.outcomes) + 5_000
            wait_until(lambda goal=goal: len(streams.outcomes) > goal, "payments", 60)
            reports.append(look(nodes))
        wait_until(lambda: nodes.status("gateway").gateway.money, "the gateway has added up")
        money = nodes.status("gateway").gateway.money
        streams.stop()
    finally:
        if streams is not None:
            streams.stop()
        nodes.stop()
    for report in reports:
        broken, *found = sorted(map(str, report.findings))[::-1]
        assert broken == "chain: gateway: records 1 to 10000 are not what was written (link 1)"
        assert len(found) == 2
        assert all("1 INR from" in said and "decided was 7 INR from" in said for said in found)
        assert report.money["INR"].is_conserved
        assert report.money["INR"].paid_in == 9 * OPENING_MINOR
    assert reports[-1].decisions > reports[0].decisions + 5_000 > PAST + 10_000
    assert money.startswith("OK ")
    assert streams.outcomes.count(pb.OUTCOME_COMMITTED) > 10_000


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
