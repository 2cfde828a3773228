"""Payments of many callers on one stream: each has its own answer, whatever becomes of the others."""

import asyncio
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from nodes.client import (
    AsyncClient,
    Client,
    ClientError,
    GatewayAway,
    Malformed,
    NotAllowed,
    NotLoggedIn,
    OutcomeUnknown,
    PaymentRequest,
    SharedClient,
    new_payment_id,
)
from nodes.client.errors import IdUsed
from nodes.core.names import PeerKind
from nodes.runtime.tls import load_tls
from tests.forged_tokens import read_token, sign_token
from tests.running_nodes import RunningNodes, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    yield from started(tmp_path_factory.mktemp("nodes"))


@pytest.fixture
def doomed_nodes(tmp_path):
    yield from started(tmp_path)


def started(folder):
    nodes = RunningNodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


def dialled(nodes, kind=AsyncClient):
    return kind(nodes.addresses["gateway"], load_tls(nodes.client_files, kind=PeerKind.CLIENT))


def request(amount_minor=1, payee="bob@HDFC", payer="alice@ICICI", **fields) -> PaymentRequest:
    return PaymentRequest(fields.pop("payment_id", new_payment_id()), payer, payee, amount_minor, "INR", **fields)


async def test_what_is_asked_for_together_goes_out_together(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        asked = [request() for _ in range(300)]
        results = await asyncio.gather(*map(client.pay, asked))
    assert [result.payment_id for result in results] == [payment.payment_id for payment in asked]
    assert {result.outcome for result in results} == {"committed"}
    lines = [json.loads(line) for line in (nodes.folder / "gateway.log").read_text().splitlines()]
    assert [line["payments"] for line in lines if line["event"] == "stream_request" and "payments" in line] == [
        300
    ]


async def test_one_caller_waits_for_nobody(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        paid = request()
        assert (await client.pay(paid)).outcome == "committed"
        again = await client.pay(paid)
        assert (again.outcome, again.replayed) == ("committed", True)


USED = request(5)
REFUSED = [
    request(-1),
    request(payer="charlie@SBI"),
    request(payee="bob@NOWHERE"),
    request(memo="two\nlines"),
    request(6, payment_id=USED.payment_id),
    request(99_999_999),
    request(payee="nobody@HDFC"),
]


async def test_each_is_answered_as_a_call_of_its_own_would_be(nodes):
    with dialled(nodes, Client) as alone:
        alone.log_in("alice", "alice123")
        alone.pay(USED)
        expected = [told(alone, payment) for payment in REFUSED]
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        answers = await asyncio.gather(*map(client.pay, [*REFUSED, request()]), return_exceptions=True)
    assert [describe(answer) for answer in answers[:-1]] == expected
    assert answers[-1].outcome == "committed"


def told(client, payment):
    try:
        return describe(client.pay(payment))
    except ClientError as error:
        return describe(error)


def describe(answer):
    if isinstance(answer, ClientError):
        return type(answer), str(answer), getattr(answer, "violations", None)
    return answer.outcome, answer.reason


async def test_an_id_is_under_way_once(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        payment = request(7)
        other = request(8, payment_id=payment.payment_id)
        same, twin, differs = await asyncio.gather(
            *map(client.pay, [payment, payment, other]), return_exceptions=True
        )
    assert same == twin
    assert same.outcome == "committed"
    assert isinstance(differs, IdUsed)


async def test_what_cannot_be_sent_fails_alone(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        bad = [request(memo="x" * 5000), request(2**63)]
        huge, beyond, good = await asyncio.gather(*map(client.pay, [*bad, request()]), return_exceptions=True)
    assert isinstance(huge, Malformed)
    assert isinstance(beyond, ValueError)
    assert good.outcome == "committed"


async def test_a_login_that_is_over_is_renewed_and_nothing_is_lost(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        assert (await client.pay(request())).outcome == "committed"
        other = dialled(nodes)
        other._metadata = client._metadata
        await other.log_out()
        await other.close()
        results = await asyncio.gather(*(client.pay(request()) for _ in range(20)))
        assert [result.outcome for result in results] == ["committed"] * 20


async def test_logins_that_keep_ending_under_load_lose_nothing_send_nothing_twice_and_are_renewed_once_each(nodes):
    """Each login here lives for a second or two, and 40 callers pay one payment after the other meanwhile."""
    key = load_pem_private_key(nodes.token_key.read_bytes(), password=None)
    async with dialled(nodes) as client:
        renew, logins = client._renew, []

        async def renew_for_a_moment():
            session = await renew()
            header, claims = read_token(client._metadata[0][1].removeprefix("Bearer "))
            ends_at = int(time.time()) + 2
            logins.append(ends_at)
            token = sign_token(header, claims | {"iat": ends_at - 60, "nbf": ends_at - 60, "exp": ends_at}, key)
            client._metadata = [("authorization", f"Bearer {token}")]
            return session

        client._renew = renew_for_a_moment
        await client.log_in("bob", "bob123")
        before = balance(nodes, "bob")
        ends = time.monotonic() + 6

        async def pay_on():
            return [
                await client.pay(request(payer="bob@ICICI", payee="alice@HDFC"), timeout_s=30)
                for _ in iter(lambda: time.monotonic() < ends, False)
            ]

        results = [result for paid in await asyncio.gather(*(pay_on() for _ in range(40))) for result in paid]
    assert {(result.outcome, result.replayed) for result in results} == {("committed", False)}
    assert before - balance(nodes, "bob") == len(results)
    assert 2 <= len(logins) <= 8
    assert len(set(logins)) == len(logins), "a login was renewed that had not ended"


async def test_a_login_that_was_renewed_for_nobody_and_is_over_is_renewed_again(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        renew, over = client._renew, [("authorization", "Bearer over")]
        client._metadata = over
        renewed = asyncio.Event()

        async def renew_too_late():
            await asyncio.sleep(0.5)
            client._metadata = over
            renewed.set()

        client._renew = renew_too_late
        with pytest.raises(OutcomeUnknown):
            await client.pay(request(), timeout_s=0.2)
        await asyncio.wait_for(renewed.wait(), 10)
        client._renew = renew
        with pytest.raises(NotLoggedIn):
            await client.pay(request())
        assert (await client.pay(request())).outcome == "committed"


async def test_a_client_that_is_revoked_meanwhile_is_not_told_that_nothing_was_begun(doomed_nodes):
    nodes = doomed_nodes
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        await client.pay(request())
        nodes.kill("HDFC", signal.SIGSTOP)
        paying = asyncio.ensure_future(client.pay(request(11), timeout_s=20))
        await asyncio.to_thread(wait_until, lambda: nodes.status("gateway").gateway.under_way, "a payment")
        row = {"identity": nodes.authority.identity(PeerKind.CLIENT, "shell").uri, "before": int(time.time()) + 60}
        nodes.revoked.write_text(json.dumps({"revoked": [row]}))
        with pytest.raises(OutcomeUnknown):
            await paying
        with pytest.raises(NotAllowed):
            await client.pay(request(12))
        nodes.kill("HDFC", signal.SIGCONT)


async def test_who_is_not_logged_in_is_told_so(nodes):
    async with dialled(nodes) as client:
        with pytest.raises(NotLoggedIn):
            await client.pay(request())
        with pytest.raises(NotLoggedIn):
            await client.log_in("alice", "wrong password")


async def test_a_gateway_that_hangs_leaves_the_outcome_unknown_and_a_resend_settles_it(nodes):
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        await client.pay(request())
        payment = request(9)
        nodes.kill("gateway", signal.SIGSTOP)
        try:
            with pytest.raises(OutcomeUnknown, match="in time"):
                await client.pay(payment, timeout_s=0.3)
        finally:
            nodes.kill("gateway", signal.SIGCONT)
        assert (await client.pay(payment)).outcome == "committed"


def test_threads_share_one_stream(nodes):
    with dialled(nodes, SharedClient) as client, ThreadPoolExecutor(8) as threads:
        client.log_in("alice", "alice123")
        results = list(threads.map(client.pay, [request() for _ in range(80)]))
        with pytest.raises(Malformed):
            client.pay(request(0))
    assert [result.outcome for result in results] == ["committed"] * 80


async def test_a_gateway_that_is_killed_leaves_each_caller_an_outcome_or_unknown_and_a_resend_settles_it_once(
    doomed_nodes,
):
    nodes = doomed_nodes
    async with dialled(nodes) as client:
        await client.log_in("alice", "alice123")
        before = balance(nodes)
        asked = [request() for _ in range(3000)]
        paying = [asyncio.ensure_future(client.pay(payment)) for payment in asked]
        await asyncio.wait(paying[:1])
        nodes.kill("gateway")
        answers = await asyncio.gather(*paying, return_exceptions=True)
        unknown = [p for p, answer in zip(asked, answers, strict=True) if isinstance(answer, ClientError)]
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} <= {
            OutcomeUnknown,
            GatewayAway,
        }
        assert unknown
        assert len(unknown) < len(asked)
        with pytest.raises(GatewayAway):
            await client.pay(unknown[0])
        await asyncio.to_thread(nodes.start, "gateway")
        settled = [await resend(client, payment) for payment in unknown[:1]]
        settled += await asyncio.gather(*(resend(client, payment) for payment in unknown[1:]))
        outcomes = [answer.outcome for answer in [*settled, *answers] if not isinstance(answer, Exception)]
    assert len(outcomes) == len(asked)
    assert set(outcomes) == {"committed"}
    assert before - balance(nodes) == len(asked)


async def resend(client, payment):
    """Do the caller's duty: the same id again, until its outcome is known."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.pay(payment)
            except (GatewayAway, OutcomeUnknown):
                await asyncio.sleep(0.1)


def balance(nodes, user="alice") -> int:
    with nodes.client(user) as caller:
        try:
            return caller.balance("ICICI").available_minor
        except grpc.RpcError as error:
            pytest.fail(str(error))
