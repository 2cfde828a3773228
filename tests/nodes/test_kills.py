"""kill -9 while payments run: clients learn their outcomes, no money is made or lost, nothing stays in doubt."""

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import pytest
from interbank.v1 import payment_pb2 as pb

from nodes.client import (
    AsyncClient,
    GatewayAway,
    OutcomeUnknown,
    PaymentRequest,
    PaymentResult,
    new_payment_id,
)
from nodes.core.names import PeerKind
from nodes.runtime.tls import load_tls
from tests.running_nodes import RunningNodes, wait_until

pytestmark = pytest.mark.cluster
PAID_IN_MINOR = 3_800_000
NOTHING_IN_DOUBT_AFTER_S = 5.0


@pytest.fixture
def nodes(tmp_path):
    nodes = RunningNodes(tmp_path)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


class Payers:
    """Customers who pay round and round, and send the same payment again until they know its outcome."""

    ROUTES = (
        ("alice", "alice@ICICI", "bob@HDFC"),
        ("bob", "bob@HDFC", "charlie@SBI"),
        ("charlie", "charlie@SBI", "alice@ICICI"),
        ("charlie", "charlie@ICICI", "bob@ICICI"),
    )

    def __init__(self, nodes: RunningNodes) -> None:
        self.outcomes: dict[str, tuple[str, int]] = {}
        self._nodes = nodes
        self._ends = threading.Event()
        self._logged_in = threading.Barrier(len(self.ROUTES) + 1)
        self._pool = ThreadPoolExecutor(len(self.ROUTES))
        self._running = [self._pool.submit(self._pay_on, *route) for route in self.ROUTES]
        self._logged_in.wait(30)

    def stop(self) -> None:
        """Let each payer settle what it has begun, then end."""
        self._ends.set()
        for running in self._running:
            running.result(60)
        self._pool.shutdown()

    def _pay_on(self, user: str, payer: str, payee: str) -> None:
        with self._nodes.client(user) as caller:
            self._logged_in.wait(30)
            while not self._ends.is_set():
                request = caller.request(payee, 3, payer=payer)
                self.outcomes[request.payment_id] = user, self._settle(caller, request)

    @staticmethod
    def _settle(caller, request) -> int:
        ends = time.monotonic() + 30
        while True:
            try:
                return caller.stub.Pay(request, timeout=4, metadata=caller.metadata).outcome
            except grpc.RpcError as error:
                is_passing = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if not is_passing or time.monotonic() > ends:
                    raise
                time.sleep(0.05)


def check(nodes: RunningNodes, payers: Payers) -> None:
    """Judge what clients were told by what the books say."""
    wait_until(lambda: not any_in_doubt(nodes), "nothing in doubt", NOTHING_IN_DOUBT_AFTER_S)
    totals = nodes.totals()
    assert not totals.unavailable_banks
    assert not [fault for bank in totals.banks for fault in bank.faults]
    assert sum(total.customers_minor for bank in totals.banks for total in bank.totals) == PAID_IN_MINOR
    due = {
        (bank.bank, other): minor
        for bank in totals.banks
        for total in bank.totals
        for other, minor in total.due_to_minor.items()
    }
    assert all(minor == -due[other, bank] for (bank, other), minor in due.items())
    for user in ("alice", "bob", "charlie"):
        with nodes.client(user) as caller:
            for payment_id, (payer, outcome) in payers.outcomes.items():
                if payer == user:
                    request = pb.GetPaymentRequest(payment_id=payment_id)
                    found = caller.stub.GetPayment(request, timeout=5, metadata=caller.metadata).payment
                    assert found.outcome == outcome


def any_in_doubt(nodes: RunningNodes) -> bool:
    statuses = [nodes.status(bank) for bank in ("HDFC", "ICICI", "SBI")]
    return any(status is None or status.bank.in_doubt for status in statuses)


@pytest.mark.parametrize("victim", ["gateway", "HDFC"])
def test_kills_under_load_lose_and_make_no_money(nodes, victim):
    payers = Payers(nodes)
    committed = 0
    for _ in range(4):
        goal = committed + 30
        wait_until(
            lambda goal=goal: sum(o == pb.OUTCOME_COMMITTED for _, o in payers.outcomes.values()) >= goal,
            "payments",
        )
        nodes.kill(victim)
        nodes.start(victim)
        committed = sum(o == pb.OUTCOME_COMMITTED for _, o in list(payers.outcomes.values()))
    payers.stop()
    check(nodes, payers)


def test_all_nodes_killed_at_once_come_back_with_all_that_was_told(nodes):
    payers = Payers(nodes)
    wait_until(lambda: len(payers.outcomes) > 100, "payments")
    for name in list(nodes.processes):
        nodes.kill(name)
    nodes.start()
    payers.stop()
    check(nodes, payers)


@pytest.mark.parametrize("victim", ["gateway", "HDFC", "ICICI"])
async def test_a_kill_at_full_speed_loses_nothing_that_was_told(nodes, victim):
    """4,000 payments at once on one stream, 1,024 a message; whoever is not answered sends the same again."""
    async with async_client(nodes) as client:
        asked = [async_request("alice@ICICI", "bob@HDFC") for _ in range(4000)]
        paying = [asyncio.create_task(client.pay(payment)) for payment in asked]
        await paying[0]
        nodes.kill(victim)
        told = dict(zip(asked, await asyncio.gather(*paying, return_exceptions=True), strict=True))
        assert any(isinstance(answer, PaymentResult) for answer in told.values())
        await asyncio.to_thread(nodes.start, victim)
        wait_until(lambda: not any_in_doubt(nodes), "nothing in doubt", NOTHING_IN_DOUBT_AFTER_S)
        after = await asyncio.gather(*(settle(client, payment) for payment in asked))
        again = await asyncio.gather(*(client.pay(payment) for payment in asked))
    for before, answer, repeated in zip(told.values(), after, again, strict=True):
        assert (repeated.outcome, repeated.reason, repeated.replayed) == (answer.outcome, answer.reason, True)
        if isinstance(before, PaymentResult):
            assert (answer.outcome, answer.reason, answer.replayed) == (before.outcome, before.reason, True)
    committed = sum(answer.outcome == "committed" for answer in after)
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        assert alice.balance("ICICI").posted_minor == 1_000_000 - committed
        assert bob.balance("HDFC").posted_minor == 300_000 + committed
    assert not [fault for bank in nodes.totals().banks for fault in bank.faults]


async def settle(client, payment) -> PaymentResult:
    async with asyncio.timeout(30):
        while True:
            try:
                return await client.pay(payment)
            except (GatewayAway, OutcomeUnknown):
                await asyncio.sleep(0.1)


async def test_a_paused_bank_does_not_hold_up_payments_between_others(nodes):
    async with async_client(nodes) as client:
        nodes.kill("SBI", signal.SIGSTOP)
        try:
            stuck = [async_request("alice@ICICI", "charlie@SBI") for _ in range(300)]
            waiting = [asyncio.create_task(client.pay(payment)) for payment in stuck]
            for _ in range(5):
                others = [async_request("alice@ICICI", "bob@HDFC") for _ in range(200)]
                results = await asyncio.gather(*map(client.pay, others))
                assert {result.outcome for result in results} == {"committed"}
            assert not any(payment.done() for payment in waiting)
        finally:
            nodes.kill("SBI", signal.SIGCONT)
        ended = await asyncio.gather(*waiting)
    assert {result.outcome for result in ended} <= {"committed", "declined"}


@asynccontextmanager
async def async_client(nodes):
    async with AsyncClient(
        nodes.addresses["gateway"], load_tls(nodes.client_files, kind=PeerKind.CLIENT)
    ) as client:
        await client.log_in("alice", "alice123")
        yield client


def async_request(payer: str, payee: str) -> PaymentRequest:
    return PaymentRequest(new_payment_id(), payer, payee, 1, "INR")


def test_a_paused_bank_holds_up_its_own_payments_alone(nodes):
    nodes.kill("SBI", signal.SIGSTOP)
    with nodes.client("alice") as alice:
        declined = alice.pay("charlie@SBI", 5)
        assert declined.reason == pb.DECLINE_REASON_BANK_UNAVAILABLE
        assert alice.pay("bob@HDFC", 5).outcome == pb.OUTCOME_COMMITTED
        nodes.kill("SBI", signal.SIGCONT)
        wait_until(lambda: not any_in_doubt(nodes), "nothing in doubt", NOTHING_IN_DOUBT_AFTER_S)
        again = alice.pay("charlie@SBI", 5, payment_id=declined.payment_id)
        assert (again.outcome, again.replayed) == (pb.OUTCOME_DECLINED, True)


def test_a_bank_that_is_away_is_said_at_once_and_nothing_is_begun(nodes):
    nodes.kill("SBI")
    with nodes.client("alice") as alice:
        wait_until(lambda: not bank_is_connected(nodes, "SBI"), "the gateway noticed")
        request = alice.request("charlie@SBI", 5)
        with pytest.raises(grpc.RpcError) as away:
            alice.stub.Pay(request, timeout=5, metadata=alice.metadata)
        assert away.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "SBI is away; nothing was begun" in away.value.details()
        nodes.start("SBI")
        assert alice.stub.Pay(request, timeout=5, metadata=alice.metadata).outcome == pb.OUTCOME_COMMITTED


def bank_is_connected(nodes: RunningNodes, name: str) -> bool:
    status = nodes.status("gateway")
    assert status is not None
    return any(bank.name == name and bank.is_connected for bank in status.gateway.banks)
