"""A node whose file was altered by hand does not start, and says why."""

import pytest

from nodes.bank.store import BankStore
from nodes.gateway.store import GatewayStore
from nodes.runtime.flags import EXIT_UNUSABLE
from tests.altered_books import alter
from tests.running_nodes import DEADLINE_S, RunningNodes

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        (
            "HDFC",
            "UPDATE account SET posted = posted + 5 WHERE name = 'bob'",
            "account bob has posted, held, incoming",
        ),
        ("gateway", "UPDATE tally SET committed = 1", "1 decisions were counted"),
    ],
)
def test_a_node_refuses_to_serve_what_was_altered(tmp_path, name, statement, said):
    nodes = RunningNodes(tmp_path)
    database = tmp_path / f"{name}.db"
    if name == "gateway":
        GatewayStore.open(database).close()
    else:
        store = BankStore.open(database, name)
        store.open_accounts({"alice": 1000, "bob": 50}, "INR", now_us=1)
        store.close()
    alter(database, statement)
    try:
        assert nodes.spawn(name).wait(DEADLINE_S) == EXIT_UNUSABLE
        assert said in nodes.stderr(name)
        assert "refuses to serve it" in nodes.stderr(name)
        assert len(nodes.stderr(name).splitlines()) == 1
    finally:
        nodes.stop()
