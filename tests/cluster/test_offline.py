"""The gateway is away: payments are kept, survive kill -9 of the shell, and go out once and in order."""

import json
import subprocess

import pytest

from tests.running_cluster import RunningCluster
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def cluster(tmp_path):
    cluster = RunningCluster(tmp_path)
    try:
        cluster.run("up")
        yield cluster
    finally:
        cluster.run("down", expect=None)


class PipedShell:
    """A shell that is given lines one by one and can be killed."""

    def __init__(self, cluster: RunningCluster) -> None:
        self.process = subprocess.Popen(
            cluster.command("shell", "-u", "alice", "-o", "json", "--keep-going"),
            cwd=cluster.folder,
            env=cluster.environment("alice123"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read()["user"] == "alice"

    def read(self):
        line = self.process.stdout.readline()
        assert line, f"the shell ended with {self.process.wait(10)}"
        return json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


def test_payments_queued_while_the_gateway_is_away_go_out_once_and_in_order(cluster):
    shell = PipedShell(cluster)
    before = cluster.shell_json("bob", "balance HDFC")["balances"][0]["posted_minor"]
    cluster.run("chaos", "pause", "gateway", "--hold")
    queued = [shell.ask(f"pay bob@HDFC {amount} from ICICI")["payment"] for amount in (1, 2, 3)]
    assert [item["state"] for item in queued] == ["unknown", "never_sent", "never_sent"]
    shell.kill()
    cluster.run("chaos", "kill", "gateway")
    wait_until(lambda: all(node["is_ready"] for node in cluster.nodes().values()), "all nodes ready")
    cluster.shell("alice", "outbox send")
    sent = cluster.shell_json("alice", "outbox ls")["outbox"]
    assert [item["payment_id"] for item in sent] == [item["payment_id"] for item in queued]
    assert [item["state"] for item in sent] == ["committed"] * 3
    history = cluster.shell_json("alice", "history")["payments"]
    assert [view["payment_id"] for view in history] == [item["payment_id"] for item in reversed(queued)]
    after = cluster.shell_json("bob", "balance HDFC")["balances"][0]["posted_minor"]
    assert after - before == 600


def test_what_was_never_sent_can_be_taken_back_and_what_was_sent_cannot(cluster):
    shell = PipedShell(cluster)
    cluster.run("chaos", "pause", "gateway", "--hold")
    sent, unsent = (shell.ask(f"pay bob@HDFC {amount} from ICICI")["payment"] for amount in (1, 2))
    assert shell.ask(f"outbox cancel {unsent['payment_id']}")["payment"]["state"] == "cancelled"
    assert "was sent" in shell.ask(f"outbox cancel {sent['payment_id']}")["error"]
    shell.kill()
    cluster.run("chaos", "resume", "gateway")
    wait_until(lambda: all(node["is_ready"] for node in cluster.nodes().values()), "all nodes ready")
    cluster.shell("alice", "outbox send")
    states = {item["payment_id"]: item["state"] for item in cluster.shell_json("alice", "outbox ls")["outbox"]}
    assert states == {sent["payment_id"]: "committed", unsent["payment_id"]: "cancelled"}
