"""When `up` has waited long enough."""

from pathlib import Path

import pytest

import orchestrator.commands.up as up_module
from orchestrator.commands.up import _describe_next, _is_settled, _wait_until_settled
from orchestrator.console.progress import Progress
from orchestrator.layout.folder import ClusterFolder


def nodes(**states: str) -> list[dict[str, object]]:
    """Describe nodes: READY is a running one that serves."""
    return [
        {
            "name": name,
            "role": "gateway" if name == "gateway" else "bank",
            "state": "RUNNING" if state == "READY" else state,
            "is_ready": state == "READY",
        }
        for name, state in states.items()
    ]


@pytest.mark.parametrize(
    ("states", "is_settled"),
    [
        ({"gateway": "READY", "HDFC": "READY"}, True),
        ({"gateway": "READY", "HDFC": "STARTING"}, False),
        ({"gateway": "READY", "HDFC": "RUNNING"}, False),
        ({"gateway": "READY", "HDFC": "BACKOFF"}, False),
        ({"gateway": "READY", "HDFC": "FATAL"}, True),
        ({"gateway": "FATAL", "HDFC": "RUNNING"}, True),
        ({"gateway": "FATAL", "HDFC": "STARTING"}, False),
        ({"gateway": "BACKOFF", "HDFC": "RUNNING"}, False),
    ],
)
def test_up_waits_for_whatever_may_still_come_and_for_nothing_else(
    states: dict[str, str], is_settled: bool
) -> None:
    assert _is_settled(nodes(**states)) is is_settled


@pytest.mark.parametrize(
    ("home", "called"),
    [(".", "./cluster shell "), ("..", "../cluster shell "), (None, "  cluster shell ")],
    ids=["in the checkout", "below it", "installed"],
)
def test_what_to_do_next_is_written_as_it_can_be_called_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None, called: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if home is None:
        monkeypatch.delenv("CLUSTER_HOME", raising=False)
    else:
        monkeypatch.setenv("CLUSTER_HOME", str((tmp_path / home).resolve()))
    assert called in _describe_next(is_new=True)


def test_an_up_that_is_interrupted_says_that_the_cluster_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(up_module, "wait_for", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _wait_until_settled(ClusterFolder(tmp_path), Progress(), 1.0)
    assert "goes on starting" in capsys.readouterr().err
