"""PayMany at the gateway: what is bad fails alone, what is too much waits or is told when to come again."""

import asyncio

import grpc
import uuid_utils
from interbank.v1 import payment_pb2 as pb

from nodes.core.coordinator import Decided, Overloaded
from nodes.core.messages import Decision, Outcome, Reason
from nodes.core.names import Identity, PeerKind
from nodes.gateway.payment_service import _PAY_MANY_OPEN_MAX, _PaymentStream
from nodes.runtime.access import Caller, Login
from nodes.runtime.pace import Pace

ALICE = Caller(Identity("payments.local", PeerKind.CLIENT, "shell"), "thumbprint", Login("alice", 1, "id", 2e9))


class Loop:
    """Keeps what was begun until it is answered."""

    def __init__(self):
        self.begun = []

    def begin_many(self, asked):
        self.begun += asked

    def commit_all(self):
        begun, self.begun = self.begun, []
        for payment, caller, _ in begun:
            caller(Decided(Decision(1, 1, payment, Outcome.COMMITTED, Reason.NONE, 1, 2), replayed=False))


class Audit:
    """Knows nothing."""

    def pay(self, caller, payments):
        pass

    def deny_payment(self, caller, payment_id, details):
        pass


class Call:
    """A call of PayMany under way: messages go in one by one, results gather."""

    def __init__(self):
        self.loop = Loop()
        self.read = 0
        self.results = []
        self._messages = asyncio.Queue()
        self._stream = _PaymentStream(ALICE, self.loop, Audit(), Pace(10_000))
        self._tasks = [asyncio.create_task(self._stream.read(self._requests())), asyncio.create_task(self._take())]

    async def send(self, *payments):
        await self._messages.put(pb.PayManyRequest(payments=payments))

    async def end(self):
        await self._messages.put(None)
        await asyncio.wait_for(asyncio.gather(*self._tasks), 5)
        return {result.payment_id: result for result in self.results}

    async def _requests(self):
        while (message := await self._messages.get()) is not None:
            self.read += 1
            yield message

    async def _take(self):
        async for response in self._stream.responses():
            self.results += response.results


def request(amount_minor=1, payer="alice@ICICI"):
    payment_id = str(uuid_utils.uuid7())
    return pb.PayRequest(
        payment_id=payment_id,
        payer_account=payer,
        payee_account="bob@HDFC",
        amount_minor=amount_minor,
        currency="INR",
    )


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_bad_payment_fails_alone_and_says_which_field():
    call = Call()
    good, bad, others = request(), request(0), request(payer="carol@HDFC")
    await call.send(good, bad, others)
    await settled()
    call.loop.commit_all()
    results = await call.end()
    assert results[good.payment_id].outcome == pb.OUTCOME_COMMITTED
    refused = results[bad.payment_id].refused
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [(found.field, found.description) for found in refused.violations] == [
        ("amount_minor", "must be more than 0")
    ]
    assert results[others.payment_id].refused.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


async def test_a_payment_beyond_the_gateways_capacity_is_told_when_to_come_again():
    call = Call()
    too_many = request()
    await call.send(too_many)
    await settled()
    [(_, caller, _)] = call.loop.begun
    caller(Overloaded())
    refused = (await call.end())[too_many.payment_id].refused
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert refused.retry_after_ms > 0


async def test_no_more_is_read_than_is_under_way_at_most_until_it_ends():
    call = Call()
    for _ in range(4):
        await call.send(*(request() for _ in range(_PAY_MANY_OPEN_MAX // 2 + 1)))
    await settled()
    assert call.read == 2
    assert len(call.loop.begun) == _PAY_MANY_OPEN_MAX + 2
    call.loop.commit_all()
    await settled()
    assert call.read == 4
    call.loop.commit_all()
    assert len(await call.end()) == 4 * (_PAY_MANY_OPEN_MAX // 2 + 1)
