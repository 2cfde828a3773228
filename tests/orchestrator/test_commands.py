"""The commands that start, show and stop a cluster, from outside, with the real nodes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.runtime.passwords import hash_password
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.stopping import stop_cluster
from tests.orchestrator.cluster_of_fakes import free_port, is_alive, wait_until

pytestmark = pytest.mark.cluster

DEADLINE_S = 60.0


class Shop:
    """A cluster of a gateway and one bank in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"gateway": free_port(), "HDFC": free_port()}
        (folder / "cluster.yaml").write_text(
            f"gateway: {{address: localhost:{self.ports['gateway']}}}\n"
            f"banks: {{HDFC: {{address: localhost:{self.ports['HDFC']}}}}}\n"
        )
        alice = {"name": "alice", "role": "customer", "accounts": {"HDFC": "5,000.00"}}
        users = {"users": [{**alice, "password_hash": hash_password("alice123")}]}
        (folder / "users.json").write_text(json.dumps(users))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-P", "-m", "orchestrator", *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def nodes(self) -> dict[str, dict[str, object]]:
        nodes = json.loads(self.run("status", "-o", "json").stdout)["nodes"]
        return {node["name"]: node for node in nodes}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    stop_cluster(ClusterFolder(shop.folder).control_socket)


def test_before_the_first_up_all_is_stopped(shop: Shop) -> None:
    shown = shop.run("status")
    assert shown.returncode == 3
    assert shown.stdout.splitlines()[1].split()[:4] == ["gateway", "gateway", "STOPPED", "DOWN"]
    assert "hint: cluster up" in shown.stdout


def test_a_dry_run_makes_nothing(shop: Shop) -> None:
    shown = shop.run("up", "--dry-run")
    assert shown.returncode == 0
    assert "nodes.bank --name HDFC" in shown.stdout
    assert sorted(path.name for path in shop.folder.iterdir()) == ["cluster.yaml", "users.json"]


def test_a_dry_run_is_told_to_a_program_as_json(shop: Shop) -> None:
    nodes = json.loads(shop.run("up", "--dry-run", "-o", "json").stdout)["nodes"]
    assert [(node["name"], node["address"]) for node in nodes] == [
        (name, f"localhost:{port}") for name, port in shop.ports.items()
    ]
    assert "nodes.bank" in nodes[1]["command"]


def test_a_dry_run_tells_what_is_wrong_with_the_users(shop: Shop) -> None:
    users = shop.folder / "users.json"
    good = users.read_text()
    try:
        users.write_text(good.replace("customer", "king"))
        shown = shop.run("up", "--dry-run")
    finally:
        users.write_text(good)
    assert shown.returncode == 1
    assert "users[0].role: must be customer, operator or auditor" in shown.stderr


def test_what_banks_hold_cannot_be_told_of_a_cluster_that_is_down(shop: Shop) -> None:
    shown = shop.run("indoubt", "ls")
    assert (shown.returncode, shown.stdout) == (1, "")


def test_up_serves_shows_and_warns(shop: Shop) -> None:
    shown = shop.run("up")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 serving" in shown.stdout
    assert "The cluster is up." in shown.stderr
    assert "Demo passwords are in use: alice / alice123" in shown.stderr


def test_a_second_up_says_so_and_changes_nothing(shop: Shop) -> None:
    before = shop.nodes()
    shown = shop.run("up")
    assert shown.returncode == 0, shown.stderr
    assert "The cluster is up already" in shown.stderr
    assert {name: node["pid"] for name, node in shop.nodes().items()} == {
        name: node["pid"] for name, node in before.items()
    }


def test_what_cluster_yaml_has_otherwise_than_the_cluster_that_runs_is_told(shop: Shop) -> None:
    config = shop.folder / "cluster.yaml"
    before = config.read_text()
    added, removed = before.replace("}}", f"}}, SBI: {{address: localhost:{free_port()}}}}}"), before
    try:
        config.write_text(added)
        shown = shop.run("up")
        assert "SBI is in cluster.yaml, and not in the cluster that runs: `cluster down`" in shown.stderr
        assert "accounts" not in shown.stderr
        assert "SBI is in cluster.yaml, and not in the cluster that runs" in shop.run("doctor").stdout
        config.write_text(removed.replace("HDFC", "AXIS"))
        (shop.folder / "users.json").write_text((shop.folder / "users.json").read_text().replace("HDFC", "AXIS"))
        audited = shop.run("audit")
        assert audited.returncode == 1
        assert audited.stderr.startswith("error: the gateway has banks that are not known here: HDFC\n")
        assert "error: HDFC runs, and is not in cluster.yaml: `cluster down`" in audited.stderr
    finally:
        config.write_text(before)
        (shop.folder / "users.json").write_text((shop.folder / "users.json").read_text().replace("AXIS", "HDFC"))
        for path in shop.folder.glob("*/**/SBI*"):
            path.unlink()


def test_a_watched_audit_goes_on_while_a_node_is_away(shop: Shop) -> None:
    shop.run("chaos", "pause", "HDFC", "--hold")
    command = [sys.executable, "-P", "-m", "orchestrator", "audit", "-w"]
    watch = subprocess.Popen(
        command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert watch.stdout is not None
        assert watch.stderr is not None
        assert "cannot be told: " in watch.stderr.readline()
        shop.run("chaos", "resume", "HDFC")
        assert "all agrees" in watch.stdout.readline()
    finally:
        watch.kill()
        watch.communicate()
        shop.run("chaos", "resume", "HDFC")


def test_renewing_says_so_when_there_is_nothing_to_renew(shop: Shop) -> None:
    shown = shop.run("certs", "renew")
    assert shown.returncode == 0
    assert shown.stderr == "certificates: all serve, and none ends within a week\n"


def test_what_the_cluster_keeps_is_its_users_alone(shop: Shop) -> None:
    kept = [path for name in ("state", "logs") for path in (shop.folder / name).rglob("*")]
    assert {"gateway.db", "HDFC.log", "supervisor.log", "control.sock"} <= {path.name for path in kept}
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []


def test_a_killed_bank_comes_back_and_the_events_say_why(shop: Shop) -> None:
    pid = shop.nodes()["HDFC"]["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shop.nodes()["HDFC"]["is_ready"] and shop.nodes()["HDFC"]["pid"] != pid, "HDFC is back")
    assert "killed by signal 9; next start in 0.1 s" in shop.run("events").stdout


def test_a_restart_waits_until_the_node_serves(shop: Shop) -> None:
    shown = shop.run("restart", "--rolling")
    assert shown.returncode == 0, shown.stderr
    assert all(node["is_ready"] for node in shop.nodes().values())


def test_chaos_pauses_and_status_says_so(shop: Shop) -> None:
    shop.run("chaos", "pause", "HDFC", "--hold")
    shown = shop.run("status")
    assert "paused and held by chaos" in shown.stdout
    assert "hint: cluster chaos resume HDFC" in shown.stdout
    assert shop.run("chaos", "resume", "HDFC").returncode == 0
    wait_until(lambda: shop.run("status").returncode == 0, "all is well again")


def test_logs_are_merged_and_narrowed(shop: Shop) -> None:
    for name in ("audit.log", "HDFC.audit.log"):  # which are no node's
        (shop.folder / "logs" / name).write_text('{"at":"2026-01-01T00:00:00Z","rpc":"RegisterBank"}\n')
    shown = shop.run("logs", "-o", "json", "--grep", "RegisterBank", "-n", "100")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert {line["node"] for line in lines} == {"gateway", "HDFC"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["restart"], "name one node, or give --rolling"),
        (["restart", "NOBANK"], "no node is called 'NOBANK'; there are gateway, HDFC"),
        (["chaos", "kill", "NOBANK"], "no node is called 'NOBANK'"),
        (["logs", "nobody"], "no node is called 'nobody'; there are HDFC, gateway"),
        (["logs", "--since", "soon"], "'soon' is not a time; write 90s, 5m"),
        (["logs", "--grep", "("], "'(' is not a regular expression"),
        (["up", "--wait", "long"], "'long' is not a duration; write 500ms, 30s"),
        (["status", "--file", "/none/cluster.yaml"], "/none/cluster.yaml does not exist"),
    ],
)
def test_a_mistake_is_one_clear_error(shop: Shop, words: list[str], message: str) -> None:
    shown = shop.run(*words)
    assert shown.returncode not in (0, 3)
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_ps_names_every_process(shop: Shop) -> None:
    names = {line.split()[0] for line in shop.run("ps").stdout.splitlines()}
    assert names == {"NAME", "supervisor", "prober", "gateway", "HDFC"}
    listed = json.loads(shop.run("ps", "-o", "json").stdout)["processes"]
    assert {process["name"]: process["pid"] for process in listed}["HDFC"] == shop.nodes()["HDFC"]["pid"]


def test_what_was_done_is_told_to_a_program_as_json(shop: Shop) -> None:
    killed = json.loads(shop.run("chaos", "kill", "HDFC", "-o", "json").stdout)
    assert killed == {"node": "HDFC", "done": "killed"}
    restarted = json.loads(shop.run("restart", "HDFC", "-o", "json").stdout)
    assert restarted == {"node": "HDFC", "pid": shop.nodes()["HDFC"]["pid"]}
    events = [json.loads(line) for line in shop.run("events", "-n", "5", "-o", "json").stdout.splitlines()]
    assert {"node": "HDFC", "event": "ready"}.items() <= events[-1].items()


def test_down_ends_every_process_and_wipe_removes_what_was_made(shop: Shop) -> None:
    pids = [node["pid"] for node in shop.nodes().values()]
    assert shop.run("down", "--wipe").returncode != 0, "it must ask"
    shown = shop.run("down", "--wipe", "--yes")
    assert shown.returncode == 0, shown.stderr
    assert not any(is_alive(pid) for pid in pids if isinstance(pid, int))
    assert sorted(path.name for path in shop.folder.iterdir()) == ["cluster.yaml", "users.json"]
