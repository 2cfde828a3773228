"""`cluster chaos crash`: a real node crashes exactly there, comes back, and the payment ends all the same."""

import json
import subprocess

import psutil
import pytest

from tests.running_cluster import DEADLINE_S, RunningCluster
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = RunningCluster(tmp_path_factory.mktemp("cluster"))
    write_profile(cluster, "test")
    try:
        cluster.run("up")
        yield cluster
    finally:
        cluster.run("down", expect=None)


def write_profile(cluster, profile):
    config = cluster.folder / "cluster.yaml"
    config.write_text(config.read_text() + f"profile: {profile}\n")


def crash_while_paying(cluster, *words):
    """Order a crash, have alice pay, and return what was said about both."""
    ordered = subprocess.Popen(
        cluster.command("chaos", "crash", *words, "-o", "json", "--wait", "20s"),
        cwd=cluster.folder,
        env=cluster.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    orders = cluster.folder / "state" / "crash"
    try:
        # The order is there before anything is paid, or it is carried out already.
        wait_until(lambda: [*orders.glob("*.order"), *orders.glob("*.struck")], "the order is there")
        paid = cluster.shell_json("alice", "pay bob@HDFC 1 from ICICI")
        said, _ = ordered.communicate(timeout=DEADLINE_S)
    finally:
        ordered.kill()
        ordered.wait()
    assert ordered.returncode == 0
    return json.loads(said), paid["payment"]


@pytest.mark.parametrize(
    "words",
    [
        ("gateway", "--at", "gateway.decision.durable-none-told"),
        ("ICICI", "--at", "bank.hold.uncommitted", "--action", "full"),
    ],
    ids=lambda words: words[2],
)
def test_a_node_crashes_there_and_comes_back_and_the_payment_ends(cluster, words):
    starts = cluster.nodes()[words[0]]["starts"]
    said, paid = crash_while_paying(cluster, *words)
    assert (said["is_hit"], said["recovered_after_s"] > 0) == (True, True)
    assert cluster.nodes()[words[0]]["starts"] == starts + 1
    assert (paid["state"], paid["reason"]) == ("committed", "")


def test_a_node_that_is_held_up_goes_on(cluster):
    pid = cluster.nodes()["HDFC"]["pid"]
    said, paid = crash_while_paying(
        cluster, "HDFC", "--at", "bank.turn.gathered", "--action", "sleep", "--sleep", "300ms"
    )
    assert said["recovered_after_s"] >= 0.3
    assert paid["state"] == "committed"
    assert cluster.nodes()["HDFC"]["pid"] == pid


def test_what_does_not_come_about_is_said_and_leaves_no_order_behind(cluster):
    done = cluster.run("chaos", "crash", "SBI", "--at", "bank.vote.sent", "--wait", "100ms", expect=1)
    assert "SBI did not come to bank.vote.sent within 0.1 s" in done.stderr
    assert list((cluster.folder / "state" / "crash").iterdir()) == []


def test_a_cluster_that_was_started_as_standard_cannot_be_crashed_whatever_its_file_says_now(tmp_path):
    cluster = RunningCluster(tmp_path)
    try:
        cluster.run("up")
        write_profile(cluster, "test")
        done = cluster.run("chaos", "crash", "HDFC", "--at", "bank.vote.sent", "--wait", "100ms", expect=1)
        assert "the cluster was started with the profile standard and knows no crash points" in done.stderr
        for node in cluster.nodes().values():
            assert "--crash-points" not in psutil.Process(node["pid"]).cmdline()
    finally:
        cluster.run("down", expect=None)
