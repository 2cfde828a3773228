"""Crash points are reachable in a cluster whose cluster.yaml says so, and by no other way."""

import pytest

from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.planning import make_plan
from orchestrator.supervision.plan import read_plan, write_plan

BANKS = "banks:\n  HDFC: {address: localhost:1001}\n  SBI: {address: localhost:1002}\n"


@pytest.fixture
def plan(tmp_path):
    def plan(profile: str):
        (tmp_path / "cluster.yaml").write_text(f"{BANKS}{profile}\n")
        return make_plan(load(tmp_path / "cluster.yaml"), ClusterFolder(tmp_path))

    return plan


def test_no_process_of_an_ordinary_cluster_obeys_orders_to_crash(plan, monkeypatch):
    for name in ("CLUSTER_PROFILE", "PROFILE", "CRASH_POINTS", "CLUSTER_CRASH_POINTS"):
        monkeypatch.setenv(name, "test")
    made = plan("")
    assert made.crash_order == ""
    assert not [launch.name for launch in made.launches if "--crash-points" in launch.command]
    assert made == plan("profile: standard")


def test_each_process_of_a_test_cluster_obeys_a_file_of_its_own(plan, tmp_path):
    made = read_plan(write_plan(plan("profile: test")))
    files = {launch.name: launch.command[launch.command.index("--crash-points") + 1] for launch in made.launches}
    folder = tmp_path / "state" / "crash"
    assert files == {name: str(folder / f"{name}.order") for name in ("gateway", "HDFC", "SBI")}
    assert made.crash_order == str(folder / "supervisor.order")
