"""Where cluster.yaml was changed since `up`: each node that differs is named, with what to do."""

import pytest

from orchestrator.inspection.drift import find_drift, find_lost_books
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder

UP = {"gateway": "localhost:1000", "HDFC": "localhost:1001", "SBI": "localhost:1002"}
TAKEN = "`cluster down`, then `cluster up` takes what cluster.yaml says"


@pytest.mark.parametrize(
    ("running", "said"),
    [
        (UP, []),
        (
            {name: UP[name] for name in ("gateway", "HDFC")},
            [f"SBI is in cluster.yaml, and not in the cluster that runs: {TAKEN}"],
        ),
        (
            {**UP, "SBI": "localhost:9"},
            [f"SBI runs at localhost:9, and is at localhost:1002 in cluster.yaml: {TAKEN}"],
        ),
        ({**UP, "AXIS": "localhost:1003"}, [f"AXIS runs, and is not in cluster.yaml: {TAKEN}"]),
    ],
    ids=["none", "added", "moved", "removed"],
)
def test_each_node_that_differs_is_named_with_what_to_do(tmp_path, running, said):
    banks = "".join(f"  {name}: {{address: '{UP[name]}'}}\n" for name in ("HDFC", "SBI"))
    (tmp_path / "cluster.yaml").write_text(f"gateway: {{address: '{UP['gateway']}'}}\nbanks:\n{banks}")
    nodes = [{"name": name, "address": address} for name, address in running.items()]
    assert find_drift(load(tmp_path / "cluster.yaml"), nodes) == said


def test_the_books_of_a_bank_that_is_no_more_are_named_since_no_audit_is_whole_without_them(tmp_path):
    (tmp_path / "cluster.yaml").write_text("banks: {HDFC: {address: 'localhost:1001'}}\n")
    (tmp_path / "state").mkdir()
    for name in ("gateway", "HDFC", "AXIS", "SBI"):
        (tmp_path / "state" / f"{name}.db").touch()
    nodes = [{"name": name, "address": ""} for name in ("gateway", "HDFC", "SBI")]
    [line] = find_lost_books(load(tmp_path / "cluster.yaml"), ClusterFolder(tmp_path), nodes)
    assert line.startswith(f"{tmp_path}/state/AXIS.db has the books of no bank in cluster.yaml")
