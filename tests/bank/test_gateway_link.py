"""A bank's own voice to the gateway, when the gateway does not answer."""

import asyncio

import pytest

from nodes.bank import gateway_link
from nodes.bank.gateway_link import GatewayLink


@pytest.mark.parametrize("failures", [1, 5, 5000])
async def test_the_wait_has_an_end_however_long_the_gateway_is_away(monkeypatch, failures):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await GatewayLink(None, None, None, None)._pause(failures)
    assert 0 < waits[0] <= gateway_link._WAIT_MAX_S
