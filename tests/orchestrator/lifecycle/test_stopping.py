"""Taking a cluster down, politely or not."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.lifecycle.starting import join_or_start, wait_for
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.supervision.lock import is_held
from tests.orchestrator.cluster_of_fakes import DEADLINE_S, Cluster, is_alive, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, {"gateway": [], "HDFC": ["--ignore-term"]})
    yield cluster
    cluster.close()


def start(cluster: Cluster) -> list[int]:
    join_or_start(cluster.socket, lambda: cluster.plan, within_s=DEADLINE_S)
    nodes = wait_for(cluster.socket, lambda nodes: all(n["is_ready"] for n in nodes), within_s=DEADLINE_S)
    return [node["pid"] for node in nodes]


def test_a_cluster_that_does_not_run_is_down(cluster: Cluster) -> None:
    assert not stop_cluster(cluster.socket)


def test_when_it_is_down_nothing_runs_and_the_lock_is_free(cluster: Cluster) -> None:
    pids = start(cluster)
    states: list[list[str]] = []
    assert stop_cluster(cluster.socket, watch=lambda nodes: states.append([node["state"] for node in nodes]))
    assert states[-1] == ["STOPPED", "STOPPED"]
    assert not is_held(Path(cluster.plan.lock))
    assert not any(map(is_alive, pids))
    assert not stop_cluster(cluster.socket)


def test_a_frozen_supervisor_is_killed_and_its_nodes_end(cluster: Cluster) -> None:
    pids = start(cluster)
    psutil.Process(psutil.Process(pids[0]).ppid()).suspend()
    assert stop_cluster(cluster.socket)
    wait_until(lambda: not any(map(is_alive, pids)), "the nodes have ended", within_s=2.0)
    start(cluster)


def test_a_supervisor_that_cannot_be_called_any_more_is_ended_all_the_same(cluster: Cluster) -> None:
    pids = start(cluster)
    cluster.socket.unlink()
    assert stop_cluster(cluster.socket)
    wait_until(lambda: not any(map(is_alive, pids)), "the nodes have ended")
    assert not is_held(Path(cluster.plan.lock))


def test_two_at_once_both_see_it_down(cluster: Cluster) -> None:
    start(cluster)
    seen: list[bool] = []
    assert stop_cluster(
        cluster.socket, watch=lambda _: seen.append(stop_cluster(cluster.socket)) if not seen else None
    )
    assert seen[0]
