"""What `cluster bench` is told: each mistake is one line, before anything is started."""

import pytest
from click.testing import CliRunner

from orchestrator.benchmark import campaign
from orchestrator.commands.bench import bench


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command; return its result and the campaign that it would have run."""

    def run(*words):
        seen = []
        monkeypatch.setattr(campaign, "run", lambda asked, _: seen.append(asked) or iter(()))
        monkeypatch.setenv("CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
        result = CliRunner().invoke(bench, [*words, "--scratch", str(tmp_path)])
        return result, seen

    return run


def test_options_reach_the_campaign(run):
    result, [asked] = run("--load", "batch", "--load", "one", "--for", "500ms", "--batch", "8", "--batch", "16")
    assert result.exit_code == 0, result.output
    assert [load.title for load in asked.loads()] == [
        "one", "batch, 8 a message", "batch, 16 a message",
    ]  # fmt: skip
    assert asked.for_s == 0.5
    assert asked.here is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--load", "two"], "'two' is not one of"),
        (["--for", "10"], "'10' is not a duration; write 500ms, 30s, 5m or 1h"),
        (["--for", "0s"], "less than 100ms measures nothing"),
        (["--callers", "0"], "not in the range"),
        (["--batch", "0"], "not in the range"),
        (["--banks", "1"], "not in the range"),
    ],
)
def test_a_wrong_option_is_a_wrong_use(run, words, said):
    result, seen = run(*words)
    assert result.exit_code == 2
    assert said in result.output
    assert not seen


def test_here_needs_a_cluster(run):
    result, seen = run("--here")
    assert result.exit_code == 1
    assert "cluster.yaml does not exist" in result.output
    assert not seen


def test_a_load_that_needs_a_cluster_of_its_own_is_not_put_on_another(run, tmp_path):
    (tmp_path / "cluster.yaml").touch()
    _, [asked] = run("--here", "--load", "many-banks")
    with pytest.raises(campaign.CannotMeasure, match="many-banks needs a cluster of its own"):
        asked.loads()
    _, [asked] = run("--here")
    assert {load.name for load in asked.loads()} == {"one", "unary", "callers", "batch"}
