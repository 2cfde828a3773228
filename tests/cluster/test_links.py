"""Links broken by command in a real cluster: who is cut off notices, the others do not, and it heals."""

import json
import signal
import subprocess

import pytest

from tests.running_cluster import DEADLINE_S, RunningCluster
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = RunningCluster(tmp_path_factory.mktemp("links"), is_test=True)
    try:
        cluster.run("up")
        yield cluster
    finally:
        cluster.run("down", expect=None)


class Held:
    """A fault, held by a `cluster chaos` command that runs."""

    def __init__(self, cluster: RunningCluster, *words: str) -> None:
        command = cluster.command("chaos", *words, "-o", "json")
        self.process = subprocess.Popen(
            command, cwd=cluster.folder, env=cluster.environment(), stdout=subprocess.PIPE, text=True
        )
        self.fault = json.loads(self.process.stdout.readline())["fault"]

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()


def pay(cluster: RunningCluster, payee: str) -> str:
    return cluster.shell_json("alice", f"pay {payee} 1 from ICICI")["payment"]["state"]


def test_votes_that_do_not_arrive_decline_the_payments_of_one_bank_alone(cluster):
    with Held(cluster, "cut", "HDFC->gateway") as held:
        assert held.fault["text"] == "cut HDFC->gateway"
        with pytest.raises(AssertionError, match="bank_unavailable"):
            pay(cluster, "bob@HDFC")
        assert pay(cluster, "charlie@SBI") == "committed"
        status = json.loads(cluster.run("status", "-o", "json", expect=None).stdout)
        assert status["summary"].endswith("faults: 1 active")
        [hdfc] = [node for node in status["nodes"] if node["name"] == "HDFC"]
        assert "cut HDFC->gateway" in hdfc["info"]
        assert held.fault["id"] in cluster.run("chaos", "ls").stdout
    wait_until(lambda: not faults(cluster), "healed with its owner")
    wait_until(lambda: is_settled(cluster), "HDFC has heard")
    assert pay(cluster, "bob@HDFC") == "committed"


def test_a_client_waits_out_a_short_partition_and_ctrl_c_ends_a_long_one(cluster):
    with Held(cluster, "partition", "client:gateway", "--for", "1s"):
        assert pay(cluster, "charlie@SBI") == "committed"
    with Held(cluster, "partition", "client:gateway", "--for", "60s") as held:
        held.process.send_signal(signal.SIGINT)
        assert held.process.wait(DEADLINE_S) == 130
    wait_until(lambda: not faults(cluster), "healed by Ctrl-C", deadline_s=2)
    assert pay(cluster, "charlie@SBI") == "committed"


def test_heal_ends_a_fault_and_its_command(cluster):
    with Held(cluster, "delay", "gateway:*", "--by", "50ms", "--for", "60s") as held:
        cluster.run("chaos", "heal", held.fault["id"])
        assert held.process.wait(DEADLINE_S) == 0
    assert "is called 'f99'" in cluster.run("chaos", "heal", "f99", expect=1).stderr


def test_a_fault_ends_with_its_time(cluster):
    with Held(cluster, "drop", "*:SBI", "--rate", "50", "--for", "300ms") as held:
        assert held.process.wait(DEADLINE_S) == 0
    assert faults(cluster) == []


@pytest.mark.parametrize(
    ("direction", "said"),
    [("HDFC-", "quote it, 'HDFC->gateway', or write HDFC:gateway"), ("HDFC:SBI", "there is no link HDFC->SBI")],
)
def test_what_is_no_link_is_said(cluster, direction, said):
    done = cluster.run("chaos", "cut", direction, expect=None)
    assert done.returncode != 0
    assert said in done.stderr


def faults(cluster: RunningCluster) -> list[dict[str, object]]:
    return json.loads(cluster.run("chaos", "ls", "-o", "json").stdout)["faults"]


def is_settled(cluster: RunningCluster) -> bool:
    return all(node["is_ready"] and not node["counters"].get("in_doubt") for node in cluster.nodes().values())
