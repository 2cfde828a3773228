"""A bank's own voice to the gateway, when the gateway does not answer."""

import asyncio
import time
from types import SimpleNamespace

import pytest
import structlog
from interbank.v1 import registry_pb2

from nodes.bank import gateway_link
from nodes.bank.gateway_link import GatewayLink
from nodes.core.ledger import Hold


@pytest.mark.parametrize("failures", [1, 5, 5000])
async def test_the_wait_has_an_end_however_long_the_gateway_is_away(monkeypatch, failures):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await GatewayLink(None, None, None, None)._pause(failures)
    assert 0 < waits[0] <= gateway_link._WAIT_MAX_S


async def test_what_was_promised_just_now_is_asked_about_only_when_somebody_says_so():
    hold = Hold(bytes(16), "alice", 1, "alice", "@SBI/INR", 5, "INR", time.time_ns() // 1000 + 3_600_000_000)
    old = hold._replace(payer="bob", at_us=1)
    asked = []

    async def get_decisions(request, **_):
        asked.append([each.payer for each in request.transactions])
        return registry_pb2.GetDecisionsResponse()

    def link(*holds):
        ledger = SimpleNamespace(holds={each.key: each for each in holds})
        loop = SimpleNamespace(ledger=ledger, receive_decisions=lambda _: None)
        made = GatewayLink(None, loop, None, structlog.get_logger())
        made._registry = SimpleNamespace(GetDecisions=get_decisions)
        return made

    young = hold._replace(at_us=time.time_ns() // 1000)
    assert await link(old, hold)._inquire() == (1, 0)
    assert await link(hold)._inquire() == (0, 0)
    assert await link(old, young).ask_now() == (2, 0)
    assert asked == [["bob"], ["bob", "alice"]]
