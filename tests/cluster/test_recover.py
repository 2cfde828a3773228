"""A gateway whose file is an old copy is not dealt with, says what to do, and serves again after that."""

import json
import shutil

import pytest

from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


def pay(cluster, amount, expect=0):
    return cluster.shell("alice", f"pay bob@HDFC {amount} from ICICI memo rent", expect=expect)


def test_after_an_old_copy_came_back_the_banks_books_tell_the_rest(cluster):
    database = cluster.folder / "state" / "gateway.db"
    pay(cluster, 10)
    cluster.run("down")
    shutil.copy(database, cluster.folder / "copy.db")
    cluster.run("up")
    pay(cluster, 20)
    pay(cluster, 100_000, expect=3)
    pay(cluster, 30)
    refused = cluster.run("recover", "gateway", "--reason", "a try", expect=1).stderr
    assert refused == "error: the cluster is up: `cluster down` first\n"
    cluster.run("down")
    newest = cluster.run("recover", "gateway", "--reason", "a try", expect=1).stderr
    assert "there is nothing to recover" in newest

    shutil.copy(cluster.folder / "copy.db", database)
    cluster.run("up", "--wait", "3s", expect=None)
    status = cluster.run("status", expect=None).stdout
    assert "! gateway: the gateway: its chain was cut: HDFC has heard of link" in status
    assert "`cluster down` and `cluster recover gateway`" in status
    cluster.run("down")

    recover = ["recover", "gateway", "--reason", "the copy of last night", "--by", "eve"]
    assert "2 committed and 1 declined payments would be made anew" in cluster.run(*recover, "--dry-run").stderr
    done = json.loads(cluster.run(*recover, "-o", "json").stdout)
    assert (done["committed"], done["declined"], done["unknown"]) == (2, 1, [])
    cluster.run("up")
    found = cluster.run("audit").stdout
    assert "made anew from the banks' books by eve" in found
    assert "the copy of last night" in found
    assert "all agrees" in found
    pay(cluster, 50)
    history = cluster.shell("alice", "history")
    assert [amount for amount in (10, 20, 30, 50) if f"₹{amount}.00" in history] == [10, 20, 30, 50]
    assert "failed: insufficient funds" in history
    wait_until(lambda: cluster.run("status", expect=None).returncode == 0, "all is well")
    assert "all agrees" in cluster.run("audit").stdout
