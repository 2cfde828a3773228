"""The supervisor with real processes: fake nodes that behave as badly as they are told to."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.supervision.control import Refused, SupervisorAway, ask, follow
from orchestrator.supervision.policy import Limits
from tests.orchestrator.cluster_of_fakes import DEADLINE_S, Cluster, is_alive, wait_until

pytestmark = pytest.mark.cluster

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    clusters: list[Cluster] = []

    def make(*, limits: Limits | None = None, **flags: list[str]) -> Cluster:
        folder = tmp_path / f"cluster{len(clusters)}"
        folder.mkdir()
        nodes = {"gateway": [], "HDFC": [], **flags}
        clusters.append(Cluster(folder, nodes, limits) if limits else Cluster(folder, nodes))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.close()


def test_all_nodes_come_up_and_go_down_and_nothing_is_left(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    nodes = cluster.up()
    assert [node["state"] for node in nodes.values()] == ["RUNNING", "RUNNING"]
    assert nodes["gateway"]["counters"] == {"committed": 3, "declined": 1}
    children = psutil.Process(cluster.supervisors[0].pid).children(recursive=True)
    assert len(children) == 3
    cluster.down()
    assert not [child for child in children if child.is_running()]
    assert not cluster.socket.exists()
    assert cluster.events()[-1][1] == "supervisor-ended"


def test_the_gateway_is_started_before_the_banks(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.up()
    started = [node for node, event, _ in cluster.events() if event == "started"]
    assert started == ["gateway", "HDFC"]


def test_a_killed_node_is_started_again(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["HDFC"]["pid"]
    os.kill(pid, signal.SIGKILL)
    nodes = cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["pid"] != pid, "HDFC is back")
    assert nodes["HDFC"]["restarts"] == 1
    assert nodes["gateway"]["restarts"] == 0
    text = next(text for node, event, text in cluster.events() if event == "backoff")
    assert text == "killed by signal 9; next start in 0.1 s"


def test_a_node_that_always_ends_is_given_up_and_its_last_words_are_kept(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--exit", "3"])
    cluster.start()
    node = cluster.wait(lambda nodes: nodes["HDFC"]["state"] == "FATAL", "HDFC is given up")["HDFC"]
    assert node["reason"] == "gave up after 5 starts in 10 s: exit code 3: cannot go on"
    assert node["last_lines"] == ["cannot go on"]
    assert len([event for node, event, _ in cluster.events() if (node, event) == ("HDFC", "started")]) == 5


def test_a_node_that_says_it_is_misconfigured_is_not_started_again(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--exit", "78"])
    cluster.start()
    node = cluster.wait(lambda nodes: nodes["HDFC"]["state"] == "FATAL", "HDFC is given up")["HDFC"]
    assert node["reason"] == "exit code 78: cannot go on"
    assert node["restarts"] == 0


def test_a_node_whose_disk_is_full_comes_back_by_itself_once_there_is_room(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.touch()
    limits = Limits(backoff_s=0.05, max_backoff_s=0.05)
    cluster = make_cluster(HDFC=["--exit", "75", "--exit-if", str(full)], limits=limits)
    cluster.start()
    many = 2 * limits.give_up_starts
    node = cluster.wait(lambda nodes: nodes["HDFC"]["restarts"] > many, "HDFC was started many times")["HDFC"]
    assert node["state"] != "FATAL"
    full.unlink()
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"], "HDFC serves")


def test_a_fatal_node_comes_back_by_restart_when_its_trouble_is_mended(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    cluster = make_cluster(HDFC=["--exit", "78", "--exit-if", str(trouble)])
    cluster.start()
    cluster.wait(lambda nodes: nodes["HDFC"]["state"] == "FATAL", "HDFC is given up")
    trouble.unlink()
    ask(cluster.socket, {"do": "restart", "node": "HDFC"})
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"], "HDFC serves")


def test_nothing_is_started_any_more_while_all_goes_down(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--ignore-term"], limits=Limits(stop_grace_s=2.0))
    cluster.up()
    stopping = follow(cluster.socket, {"do": "stop"})
    next(stopping)
    with pytest.raises(Refused, match="the cluster is going down"):
        ask(cluster.socket, {"do": "restart", "node": "gateway"})
    assert all(node["pid"] is None for node in list(stopping)[-1]["nodes"])


def test_a_frozen_node_is_killed_and_started_again(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["HDFC"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["pid"] != pid, "HDFC is back")
    assert not is_alive(pid)
    assert ("HDFC", "kill", "hung: no answer for 0.5 s") in cluster.events()


def test_a_node_paused_for_a_time_is_thawed_in_time_or_when_its_owner_hangs_up(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["HDFC"]["pid"]
    assert list(follow(cluster.socket, {"do": "pause", "node": "HDFC", "for_s": 0.1})) == [{"done": True}]
    assert cluster.nodes()["HDFC"]["reason"] != "paused and held by chaos"
    owner = follow(cluster.socket, {"do": "pause", "node": "HDFC", "for_s": 600})
    next(owner)
    assert cluster.nodes()["HDFC"]["reason"] == "paused and held by chaos"
    owner.close()
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["pid"] == pid, "HDFC answers again")
    with pytest.raises(Refused, match="more than 0"):
        ask(cluster.socket, {"do": "pause", "node": "HDFC", "for_s": 0})


def test_a_node_paused_with_hold_is_left_alone_until_it_is_resumed(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["HDFC"]["pid"]
    ask(cluster.socket, {"do": "pause", "node": "HDFC", "hold": True})
    # The gateway is frozen later and without hold; when it has been killed, HDFC's time is over, too.
    other = cluster.nodes()["gateway"]["pid"]
    ask(cluster.socket, {"do": "pause", "node": "gateway"})
    nodes = cluster.wait(lambda nodes: nodes["gateway"]["pid"] not in (None, other), "the gateway is killed")
    assert nodes["HDFC"]["pid"] == pid
    assert nodes["HDFC"]["reason"] == "paused and held by chaos"
    ask(cluster.socket, {"do": "resume", "node": "HDFC"})
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["pid"] == pid, "HDFC answers again")


def test_kills_by_chaos_are_never_too_many(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.up()
    for number in range(1, 8):
        pid = cluster.nodes()["HDFC"]["pid"]
        ask(cluster.socket, {"do": "kill", "node": "HDFC"})
        nodes = cluster.wait(lambda nodes: nodes["HDFC"]["pid"] not in (None, pid), "HDFC is back")  # noqa: B023
        assert nodes["HDFC"]["restarts"] == number


def test_a_restart_ends_the_process_in_order_and_starts_another(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["gateway"]["pid"]
    ask(cluster.socket, {"do": "restart", "node": "gateway"})
    cluster.wait(lambda nodes: nodes["gateway"]["is_ready"] and nodes["gateway"]["pid"] != pid, "it is back")
    told = [event for node, event, _ in cluster.events() if node == "gateway"]
    assert told[-5:] == ["stopping", "ended", "started", "running", "ready"]


def test_a_node_that_ignores_term_is_killed_on_the_way_down(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--ignore-term"])
    pid = cluster.up()["HDFC"]["pid"]
    cluster.down()
    assert not is_alive(pid)
    assert ("HDFC", "kill", "did not end in time") in cluster.events()


def test_a_frozen_node_that_ignores_term_does_not_stop_the_way_down(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--ignore-term"], limits=Limits(stop_grace_s=0.5))
    pid = cluster.up()["HDFC"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    cluster.down()
    assert not is_alive(pid)


def test_what_a_node_started_ends_with_it(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = make_cluster(HDFC=["--child", str(tmp_path / "child")])
    cluster.up()
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)
    cluster.down()
    wait_until(lambda: not is_alive(child), "the node's child has ended")


@pytest.mark.parametrize("flags", [[], ["--ignore-lifeline"]], ids=["by its lifeline", "by its parent's death"])
def test_no_process_outlives_a_killed_supervisor(make_cluster: MakeCluster, flags: list[str]) -> None:
    cluster = make_cluster(HDFC=flags)
    cluster.up()
    children = psutil.Process(cluster.supervisors[0].pid).children(recursive=True)
    cluster.supervisors[0].kill()
    cluster.supervisors[0].wait()
    wait_until(lambda: not any(is_alive(child.pid) for child in children), "all have ended", within_s=2.0)
    cluster.up()


def test_of_many_supervisors_one_owns_the_folder_and_the_others_name_it(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    racing = [cluster.start() for _ in range(8)]
    cluster.wait(lambda nodes: all(node["is_ready"] for node in nodes.values()), "all serve")
    owner = ask(cluster.socket, {"do": "status"})["supervisor"]["pid"]
    losers = [supervisor for supervisor in racing if supervisor.pid != owner]
    assert len(losers) == 7
    for loser in losers:
        assert loser.wait(DEADLINE_S) == 75
        assert loser.stderr is not None
        assert f"supervisor.lock is held by process {owner}" in loser.stderr.read().decode()
    started = [event for event in cluster.events() if event[1] == "started"]
    assert len(started) == 2


def test_the_lock_is_not_inherited_by_the_nodes(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    pid = cluster.up()["HDFC"]["pid"]
    held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    assert not [path for path in held if "supervisor.lock" in path or "control.sock" in path]


def test_a_dead_prober_is_replaced_and_nobody_is_taken_for_hung(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    nodes = cluster.up()
    supervisor = psutil.Process(cluster.supervisors[0].pid)
    prober = next(child for child in supervisor.children() if "fake_prober.py" in " ".join(child.cmdline()))
    prober.kill()
    wait_until(lambda: any(event == "prober-ended" for _, event, _ in cluster.events()), "its end is noticed")
    # A node killed now is seen to be ready again: by the new prober.
    os.kill(nodes["HDFC"]["pid"], signal.SIGKILL)
    old = nodes["HDFC"]["pid"]
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["pid"] != old, "HDFC is back")
    assert cluster.nodes()["gateway"]["pid"] == nodes["gateway"]["pid"]


def test_an_answer_of_another_process_is_not_believed(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--false-instance"])
    cluster.start()
    nodes = cluster.wait(lambda nodes: nodes["gateway"]["is_ready"], "the gateway serves")
    wait_until(lambda: "another process answers" in cluster.nodes()["HDFC"]["reason"], "it is said")
    assert nodes["HDFC"]["state"] == "STARTING"


def test_a_node_that_is_not_ready_runs_and_says_why(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--not-ready", "the gateway is away"])
    cluster.start()
    node = cluster.wait(lambda nodes: nodes["HDFC"]["state"] == "RUNNING", "HDFC runs")["HDFC"]
    assert (node["is_ready"], node["reason"]) == (False, "the gateway is away")


def test_a_supervisor_leaves_no_zombies(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(HDFC=["--exit", "3"])
    cluster.start()
    cluster.wait(lambda nodes: nodes["HDFC"]["state"] == "FATAL", "HDFC is given up")
    children = psutil.Process(cluster.supervisors[0].pid).children()
    assert [child for child in children if child.status() == psutil.STATUS_ZOMBIE] == []
    assert len(children) == 2


def test_term_brings_everything_down_in_order(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    nodes = cluster.up()
    cluster.supervisors[0].terminate()
    assert cluster.supervisors[0].wait(DEADLINE_S) == 0
    assert not any(is_alive(node["pid"]) for node in nodes.values())
    stopped = [node for node, event, _ in cluster.events() if event == "stopped"]
    assert stopped == ["gateway", "HDFC"]


def test_the_control_socket_is_this_users_alone(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.up()
    assert stat.S_IMODE(cluster.socket.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ({"do": "dance"}, "knows no request 'dance'"),
        ({"do": "restart", "node": "NOBANK"}, "no node is called 'NOBANK'; there are gateway, HDFC"),
        ({"do": "restart", "node": ["HDFC"]}, "no node is called"),
        ({"do": "kill"}, "no node is called"),
        ({"do": "events", "count": "many"}, "'count' must be a number"),
        ({"do": 7}, "a request is one line of JSON"),
    ],
)
def test_a_senseless_request_is_refused_by_name(
    make_cluster: MakeCluster, request_: dict[str, object], refusal: str
) -> None:
    cluster = make_cluster()
    cluster.up()
    with pytest.raises(Refused, match=refusal):
        ask(cluster.socket, request_)


def test_without_a_supervisor_a_command_learns_so(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    with pytest.raises(SupervisorAway):
        ask(cluster.socket, {"do": "status"})
    cluster.start().kill()
    with pytest.raises(SupervisorAway):
        ask(cluster.socket, {"do": "status"})


def test_a_folder_with_a_long_path_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    cluster = Cluster(folder, {"gateway": []})
    try:
        cluster.up()
        cluster.down()
    finally:
        cluster.close()


def test_the_supervisor_loads_no_grpc() -> None:
    code = (
        "import orchestrator.supervision.supervisor, sys; "
        "sys.exit('grpc' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
