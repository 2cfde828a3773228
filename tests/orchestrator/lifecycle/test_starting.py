"""Starting a supervisor in the background, alone and in a crowd."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.lifecycle.starting import CannotStart, Nodes, NotInTime, join_or_start, wait_for
from orchestrator.supervision.control import SupervisorAway, SupervisorSilent, ask
from orchestrator.supervision.plan import Plan, read_plan, write_plan
from tests.orchestrator.cluster_of_fakes import DEADLINE_S, Cluster, is_alive, wait_until

pytestmark = pytest.mark.cluster

UP = """
import sys
from pathlib import Path
from orchestrator.supervision.plan import read_plan
from orchestrator.lifecycle.starting import join_or_start, wait_for
plan = read_plan(sys.stdin.buffer.read())
started = join_or_start(Path(plan.socket), lambda: plan, within_s=15)
wait_for(Path(plan.socket), lambda nodes: all(node["is_ready"] for node in nodes), within_s=15)
print("started" if started else "joined")
"""

MAKER = """
import os, signal, sys
from pathlib import Path
from orchestrator.supervision.plan import read_plan
from orchestrator.lifecycle.starting import all_serve, join_or_start, wait_for
plan = read_plan(sys.stdin.buffer.read())
read_fd, write_fd = os.pipe()
join_or_start(Path(plan.socket), lambda: plan, within_s=15, lifeline_fd=read_fd)
wait_for(Path(plan.socket), all_serve, within_s=15)
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, {"gateway": [], "HDFC": []})
    yield cluster
    cluster.close()


def start(cluster: Cluster) -> bool:
    return join_or_start(cluster.socket, lambda: cluster.plan, within_s=DEADLINE_S)


def all_ready(nodes: Nodes) -> bool:
    return all(node["is_ready"] for node in nodes)


def refuse() -> Plan:
    raise AssertionError("prepared though a supervisor runs")


def test_a_plan_is_the_same_after_its_way_through_a_pipe(cluster: Cluster) -> None:
    assert read_plan(write_plan(cluster.plan)) == cluster.plan


def test_the_first_starts_and_the_second_joins(cluster: Cluster) -> None:
    assert start(cluster)
    wait_for(cluster.socket, all_ready, within_s=DEADLINE_S)
    assert not join_or_start(cluster.socket, refuse, within_s=DEADLINE_S)


def test_of_a_crowd_one_starts_and_all_see_it_serve(cluster: Cluster) -> None:
    crowd = [
        subprocess.Popen([sys.executable, "-c", UP], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(8)
    ]
    said = []
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write(write_plan(cluster.plan))
        one.stdin.close()
        one.stdin = None
    for one in crowd:
        said.append(one.communicate(timeout=60)[0].strip())
    assert sorted(said) == [b"joined"] * 7 + [b"started"]
    started = [node for node, event, _ in cluster.events() if event == "started"]
    assert started == ["gateway", "HDFC"]
    assert len([event for _, event, _ in cluster.events() if event == "supervisor-started"]) == 1


def test_a_taken_port_stops_the_start_and_nothing_is_half_made(cluster: Cluster) -> None:
    host, _, port = cluster.launches[1].address.rpartition(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(CannotStart, match=f"HDFC cannot listen at localhost:{port}: .* by process {os.getpid()}"),
    ):
        start(cluster)
    with pytest.raises(SupervisorAway):
        ask(cluster.socket, {"do": "status"})
    assert not (cluster.folder / "logs" / "gateway.stderr").exists()


def test_a_supervisor_that_ends_at_once_is_quoted(cluster: Cluster) -> None:
    cluster.plan = replace(cluster.plan, prober_output="/proc/none", lock="/proc/none/supervisor.lock")
    with pytest.raises(CannotStart, match=r"the supervisor ended with code 1: FileNotFoundError: .*/proc/none"):
        start(cluster)


def test_a_start_waits_for_one_that_is_going_down(cluster: Cluster) -> None:
    start(cluster)
    wait_for(cluster.socket, all_ready, within_s=DEADLINE_S)
    owner = ask(cluster.socket, {"do": "status"})["supervisor"]["pid"]
    psutil.Process(owner).terminate()
    wait_until(lambda: not is_alive(owner) or ask_is_stopping(cluster), "it goes down")
    assert start(cluster)
    wait_for(cluster.socket, all_ready, within_s=DEADLINE_S)
    assert ask(cluster.socket, {"do": "status"})["supervisor"]["pid"] != owner


def ask_is_stopping(cluster: Cluster) -> bool:
    try:
        return bool(ask(cluster.socket, {"do": "status"})["supervisor"]["is_stopping"])
    except SupervisorAway:
        return True


def test_a_frozen_supervisor_is_named(cluster: Cluster) -> None:
    start(cluster)
    owner = psutil.Process(ask(cluster.socket, {"do": "status"})["supervisor"]["pid"])
    owner.suspend()
    with pytest.raises(SupervisorSilent, match=f"process {owner.pid}"):
        ask(cluster.socket, {"do": "status"}, within_s=0.2)
    owner.resume()


def test_what_is_not_ready_in_time_is_shown_as_it_is(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, {"gateway": ["--not-ready", "warming up"]})
    try:
        start(cluster)
        with pytest.raises(NotInTime) as late:
            wait_for(cluster.socket, all_ready, within_s=1.0)
        assert late.value.nodes[0]["reason"] == "warming up"
    finally:
        cluster.close()


def test_a_wait_ends_when_the_supervisor_does(cluster: Cluster) -> None:
    start(cluster)
    psutil.Process(ask(cluster.socket, {"do": "status"})["supervisor"]["pid"]).terminate()
    with pytest.raises(SupervisorAway):
        wait_for(cluster.socket, lambda _: False, within_s=DEADLINE_S)


def test_a_cluster_that_is_tied_to_its_maker_stops_in_order_when_that_is_killed(cluster: Cluster) -> None:
    command = [sys.executable, "-c", MAKER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdin is not None
        assert maker.stdout is not None
        maker.stdin.write(write_plan(cluster.plan))
        maker.stdin.close()
        assert maker.stdout.readline() == b"up\n"
        supervisor = psutil.Process(ask(cluster.socket, {"do": "status"})["supervisor"]["pid"])
        pids = [supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))]
        assert len(pids) == 4
        maker.kill()
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} have ended")
    events = [event for _, event, _ in cluster.events()]
    ending = events[events.index("maker-gone") :]
    assert ending.count("stopped") == 2, ending
    assert ending[-1] == "supervisor-ended"
