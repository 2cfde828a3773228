"""A short run of every fuzz target; `make fuzz` runs longer ones."""

import random

import grpc
import pytest

from nodes.runtime.access import collect_rules
from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import BankAnswers, Finding, RpcTarget, all_targets
from tests.fuzz.world import SERVICES, SHELL, World

REQUESTS = 300


@pytest.mark.parametrize("number", range(len(all_targets())), ids=[target.name for target in all_targets()])
async def test_nothing_that_is_sent_breaks_anything(number):
    target = all_targets()[number]
    assert await fuzz(target, random.Random(20261125), requests=REQUESTS) == REQUESTS
    assert target.codes.total() == REQUESTS


@pytest.mark.parametrize("rpc", ["PaymentService/Pay", "PaymentService/PayMany", "BankService/Transact"])
async def test_requests_reach_what_lies_behind_the_checks(rpc):
    [target] = [target for target in all_targets() if target.name == rpc]
    await fuzz(target, random.Random(1), requests=REQUESTS)
    assert target.codes["OK"] > 10


def test_every_rpc_of_every_node_is_fuzzed():
    fuzzed = {
        (target._node, target._rpc)
        for target in all_targets()
        if type(target) is not BankAnswers and isinstance(target, RpcTarget)
    }
    offered = {
        (node, name.removeprefix("/interbank.v1.").removeprefix("/grpc.health.v1."))
        for node, services in SERVICES.items()
        for name in collect_rules(services)
    }
    assert offered == fuzzed


async def test_money_moves_in_this_world():
    world = World()
    [target] = [target for target in all_targets() if target.name == "PaymentService/Pay"]
    request = target.good(random.Random(3)).SerializeToString()
    code, _ = await world.call("gateway", "PaymentService/Pay", request, SHELL)
    assert code is grpc.StatusCode.OK
    assert world.store.tally() == (1, 0)
    await world.close()


async def test_a_bug_is_found(monkeypatch):
    async def forget_to_check(self, node, rpc, content, peer):
        self.connection.execute("INSERT INTO bank VALUES (?, '')", (content.hex(),))
        code, details = await honest(self, node, rpc, content, peer)
        return code, details

    honest = World.call
    monkeypatch.setattr(World, "call", forget_to_check)
    [target] = [target for target in all_targets() if target.name == "PaymentService/GetPayment"]
    with pytest.raises(Finding, match="rows changed"):
        await fuzz(target, random.Random(2), requests=REQUESTS)
