"""The audit as people run it: of a running cluster, then of the files that it left, sound and altered."""

import json

import pytest

from tests.altered_books import alter
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


def test_a_running_cluster_proves_its_money_and_so_do_the_files_it_leaves(cluster):
    cluster.shell("alice", "pay bob@HDFC 1000 from ICICI")
    cluster.shell("alice", "pay bob@HDFC 100000 from ICICI", expect=3)
    line = "money OK 38,000.00 INR | 2 decisions, 11 entries | 0 in doubt | all agrees"
    wait_until(lambda: cluster.run("audit").stdout.strip() == line, "every bank has heard")
    report = json.loads(cluster.run("audit", "-o", "json").stdout)
    assert report["is_clean"]
    assert report["money"]["INR"] == {"paid_in": 3_800_000, "customers": 3_800_000, "on_the_way": 0}
    assert cluster.run("settlement").stdout == SETTLEMENT
    wait_until(lambda: "money OK 38,000.00 INR" in cluster.run("status").stdout, "the gateway has looked")
    assert "is in use: its node runs" in cluster.run("audit", "--files", expect=1).stderr

    cluster.run("down")
    assert cluster.run("audit", "--files").stdout.strip() == line
    assert cluster.run("audit", expect=1).stderr.startswith("error: ")
    alter(cluster.folder / "state" / "SBI.db", "UPDATE account SET posted = posted + 500 WHERE name = 'alice'")
    found = cluster.run("audit", "--files", expect=8).stdout.splitlines()
    assert found[0].startswith("double entry: SBI: account alice has posted, held, incoming ")
    assert found[-1].startswith("money FAILED 38,000.00 INR")
    assert found[-1].endswith("FAILED: 3 found wrong")
    refused = cluster.run("up", "--wait", "20s", expect=None)
    assert refused.returncode
    assert "SBI.db was changed by others than its node" in refused.stdout + refused.stderr


SETTLEMENT = """\
BANK   WITH HDFC  WITH ICICI  WITH SBI  NET        CURRENCY
HDFC   -          +1,000.00   -         +1,000.00  INR
ICICI  -1,000.00  -           -         -1,000.00  INR
SBI    -          -           -         0.00       INR
sum                                     0.00       INR
"""
