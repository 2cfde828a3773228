"""One short campaign with real processes, by the command: it passes, and its report can be replayed."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from orchestrator.campaign import campaign, schedule
from orchestrator.campaign.schedule import Schedule, Step
from orchestrator.commands import chaos_run
from tests.campaign.test_report import BAD, make_result
from tests.running_cluster import RunningCluster
from tests.running_nodes import ROOT

pytestmark = pytest.mark.cluster

STEPS = (
    Step(1.0, "kill", "gateway"),
    Step(2.5, "partition", "HDFC->gateway", 1.5),
    Step(3.0, "kill-client"),
    Step(4.5, "kill", "SBI"),
    Step(5.5, "disk-full", "ICICI", 0.5),
    Step(6.5, "kill-all"),
)


def run(folder, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator", "chaos", "run", *words]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_campaign_of_kills_and_a_partition_passes_and_reports(tmp_path):
    plan = tmp_path / "schedule.json"
    plan.write_text(schedule.write(Schedule(11, 8.0, ("HDFC", "SBI", "ICICI"), STEPS)))
    done = run(tmp_path, str(plan), "--report", "report", "--scratch", str(tmp_path), "-o", "json")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["is_passed"], done.stderr
    examined = {check["name"]: check["examined"] for check in verdict["checks"]}
    assert [name for name, count in examined.items() if not count] == []
    figures = verdict["figures"]
    assert figures["deeds"] == {"kill": 2, "partition": 1, "kill-client": 1, "disk-full": 1, "kill-all": 1}
    assert figures["acknowledged"] > 100
    assert figures["settled"] > 0, "nobody was in the dark for a moment: nothing was broken"
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "index.html", "junit.xml", "verdict.json", "schedule.json", "history.jsonl", "cluster.yaml", "deeds.json",
    }  # fmt: skip
    assert not list(tmp_path.glob("cluster-chaos-*")), "what passed leaves no folder"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "1s"), "leaves no time to break anything"),
        (("--only", "burn"), "there is no fault 'burn'; there are kill,"),
        (("none.json",), "'none.json' does not exist"),
        (("broken.json",), "this is no schedule of a campaign"),
    ],
)
def test_what_cannot_be_a_campaign_is_said_before_anything_is_started(tmp_path, words, said):
    (tmp_path / "broken.json").write_text("{}")
    done = run(tmp_path, *words)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_cluster_that_runs_here_is_broken_judged_with_its_past_and_goes_on(tmp_path):
    (tmp_path / "here").mkdir()
    cluster = RunningCluster(tmp_path / "here", is_test=True)
    plan = tmp_path / "schedule.json"
    steps = Step(1.0, "kill", "gateway"), Step(2.5, "cut", "gateway->SBI", 1.0), Step(3.5, "kill-supervisor")
    plan.write_text(schedule.write(Schedule(11, 6.0, ("HDFC", "SBI", "ICICI"), steps)))
    words = "chaos", "run", "--here", str(plan), "--report", str(tmp_path / "report"), "-o", "json"
    try:
        cluster.run("up")
        cluster.shell("bob", "pay charlie@SBI 1 from HDFC")
        done = cluster.run(*words, password="alice123", expect=None)
        assert done.returncode == 0, done.stderr
        verdict = json.loads(done.stdout)
        assert verdict["figures"]["acknowledged"] > 20
        assert verdict["figures"]["deeds"] == {"kill": 1, "cut": 1, "kill-supervisor": 1}
        assert all(node["is_ready"] for node in cluster.nodes().values()), "it goes on"
        assert cluster.shell_json("bob", "history")["payments"], "with all that it had"
    finally:
        cluster.run("down", expect=None)


@pytest.mark.parametrize(
    ("is_test", "words", "said"),
    [
        (False, (), "campaigns are for test clusters alone"),
        (True, (), "not serving: `cluster up` first"),
        (True, ("--only", "kill-client"), "needs clients of the campaign's own"),
    ],
)
def test_a_cluster_that_cannot_be_broken_here_is_left_alone(tmp_path, is_test, words, said):
    (tmp_path / "here").mkdir()
    cluster = RunningCluster(tmp_path / "here", is_test=is_test)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = cluster.run(
        "chaos", "run", "--here", "--scratch", str(scratch), *words, password="alice123", expect=None
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert not list(scratch.iterdir()), "nothing was begun"


def test_a_campaign_that_fails_says_so_exits_1_and_keeps_the_folder(tmp_path, monkeypatch):
    result = make_result(tmp_path, BAD)
    monkeypatch.setattr(campaign, "Campaign", lambda *_: SimpleNamespace(run=lambda: result))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = CliRunner().invoke(chaos_run.run, ["--seed", "1", "--scratch", str(scratch)])
    assert done.exit_code == 1
    assert "money: INR: 5 was lost" in done.output
    assert "FAILED" in done.output
    [kept] = scratch.iterdir()
    assert f"the cluster's folder is kept: {kept}" in done.output
