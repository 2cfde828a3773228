"""A node whose disk is full ends so that it is started again, and serves once there is room."""

import time

import pytest

from nodes.runtime.crash_points import Order, give_order
from nodes.runtime.flags import EXIT_LATER
from tests.running_nodes import DEADLINE_S, RunningNodes

pytestmark = pytest.mark.cluster
AT_ITS_START = {"gateway": "gateway.start.epoch-unraised", "HDFC": "bank.start.accounts-unopened"}
UNDER_WAY = {"gateway": "gateway.decision.uncommitted", "HDFC": "bank.hold.uncommitted"}


@pytest.fixture
def nodes(tmp_path):
    nodes = RunningNodes(tmp_path)
    try:
        yield nodes
    finally:
        nodes.stop()


def spawn_where_it_gets_full(nodes, name, point):
    path = nodes.folder / "orders" / name
    give_order(path, Order("1", point, "full", hit=1, until_s=time.time() + 60))
    return nodes.spawn(name, "--crash-points", str(path))


@pytest.mark.parametrize("name", AT_ITS_START)
def test_at_its_start_it_says_so_in_a_line(nodes, name):
    ended = spawn_where_it_gets_full(nodes, name, AT_ITS_START[name]).wait(DEADLINE_S)
    assert ended == EXIT_LATER
    assert nodes.stderr(name) == f"error: database or disk is full, at {AT_ITS_START[name]}\n"
    nodes.start()


@pytest.mark.parametrize("name", UNDER_WAY)
def test_under_way_it_ends_at_once(nodes, name):
    others = [other for other in ("gateway", "HDFC", "ICICI") if other != name]
    for other in others:
        nodes.spawn(other)
    filling = spawn_where_it_gets_full(nodes, name, UNDER_WAY[name])
    for each in (name, *others):
        nodes.wait_ready(each)
    with nodes.client() as caller:
        request = caller.request("bob@ICICI", 1, payer="alice@HDFC")
        under_way = caller.stub.Pay.future(request, timeout=DEADLINE_S, metadata=caller.metadata)
        assert filling.wait(DEADLINE_S) == EXIT_LATER
        under_way.cancel()
    assert nodes.stderr(name).startswith("fatal: FullError: ")
    nodes.spawn(name)
    nodes.wait_ready(name)
