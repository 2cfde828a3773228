"""The crash matrix over some points of each process: all are reached, and all is well after each."""

import json
import os
import subprocess
import sys

import pytest

from tests.running_nodes import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
POINTS = (
    "gateway.decision.durable-none-told",
    "gateway.logout.unsaved",
    "bank.vote.durable-unsent",
    "bank.entry.uncommitted",
    "client.outbox.changed",
    "supervisor.spawn.unwatched",
    "up.supervisor.unplanned",
)


def test_every_crash_is_survived_with_no_money_lost_and_no_lie_told():
    patterns = [word for point in POINTS for word in ("--points", point)]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "chaos", "matrix", "--seed", "1", "-o", "json", *patterns],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    wrong = [row for row in found["rows"] if row["faults"] or not row["is_hit"]]
    assert (done.returncode, wrong, found["findings"]) == (0, [], [])
    assert {row["point"] for row in found["rows"]} == set(POINTS)
    assert {row["action"] for row in found["rows"]} == {"kill", "full", "commit-then-error"}
    assert all(row["recovered_after_s"] > 0 for row in found["rows"])


def test_a_point_that_does_not_exist_is_said_before_anything_is_made(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "chaos", "matrix", "--points", "nowhere.*"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no crash point matches nowhere.*; `cluster chaos points` lists all" in done.stderr
    assert not list(tmp_path.iterdir())
