"""Ordering a crash: what is refused, before anything is touched."""

import pytest

from orchestrator.chaos.crash_registry import POINTS
from orchestrator.chaos.crashing import CannotCrash, Crash, Crashing, find_point, processes_of
from orchestrator.layout.config import ProfileForbids, load
from orchestrator.layout.folder import ClusterFolder

TEST = "profile: test\nbanks:\n  HDFC: {address: localhost:1001}\n  SBI: {address: localhost:1002}\n"


@pytest.fixture
def cluster(tmp_path):
    def cluster(text: str = TEST):
        (tmp_path / "cluster.yaml").write_text(text)
        return load(tmp_path / "cluster.yaml"), ClusterFolder(tmp_path)

    return cluster


@pytest.mark.parametrize("profile", ["", "profile: standard\n"])
def test_a_cluster_that_is_not_for_tests_is_not_crashed(cluster, monkeypatch, profile):
    monkeypatch.setenv("CLUSTER_PROFILE", "test")
    config, folder = cluster(TEST.replace("profile: test\n", profile))
    with pytest.raises(ProfileForbids, match="crash points are for test clusters alone"):
        Crashing(config, folder)
    assert not folder.state.exists()


@pytest.mark.parametrize(
    ("process", "point", "action", "refusal"),
    [
        ("gateway", "bank.vote.sent", "kill", r"gateway never comes to bank\.vote\.sent; who does: HDFC, SBI"),
        ("ICICI", "bank.vote.sent", "kill", r"ICICI never comes to bank\.vote\.sent"),
        ("HDFC", "client.payment.unsaved", "kill", "who does: shell"),
        ("HDFC", "node.schema.uncommitted", "commit-then-error", "what can: kill, raise, sleep, full, io-error"),
        (
            "HDFC",
            "bank.vote.sent",
            "full",
            r"full cannot strike at bank\.vote\.sent; what can: kill, raise, sleep",
        ),
        ("HDFC", "bank.turn.committed", "full", "what can: kill, raise, sleep, commit-then-error"),
    ],
)
def test_a_crash_that_cannot_be_is_refused_with_those_that_can(cluster, process, point, action, refusal):
    config, folder = cluster()
    with pytest.raises(CannotCrash, match=refusal):
        Crashing(config, folder).run(Crash(process, find_point(point), action), within_s=0)
    assert not folder.state.exists()


def test_a_point_that_is_misspelt_is_named_with_those_like_it():
    with pytest.raises(CannotCrash, match=r"'bank\.votes\.sent'; did you mean bank\.vote\.sent"):
        find_point("bank.votes.sent")
    with pytest.raises(CannotCrash, match="there is no crash point 'x'; `cluster chaos points` lists all"):
        find_point("x")


@pytest.mark.parametrize("point", POINTS, ids=[point.name for point in POINTS])
def test_somebody_comes_to_each_point(cluster, point):
    config, _ = cluster()
    assert processes_of(point, config)
