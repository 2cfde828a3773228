"""`cluster bench` with real clusters: it measures, it cleans up, and it fails when its audit does."""

import json
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from nodes.bank.store import BankStore
from nodes.core.ledger import Account, Changes, Entry
from nodes.core.messages import Outcome, Reason
from orchestrator.benchmark.loads import Sizes, choose_loads
from orchestrator.benchmark.scratch import scratch_target
from orchestrator.inspection.cluster_state import describe_nodes
from tests.running_cluster import processes_of
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


def test_a_second_of_load_is_measured_and_its_books_are_clean(cluster, tmp_path):
    loads = [word for name in ("one", "callers", "batch") for word in ("--load", name)]
    sizes = ("--batch", "64", "--callers", "16", "--for", "1s", "--scratch", str(tmp_path))
    document = json.loads(cluster.run("bench", *loads, *sizes, "-o", "json").stdout)
    titles = [load["title"] for load in document["loads"]]
    assert titles == ["one", "callers, 32 at once", "batch, 64 a message"]
    for load in document["loads"]:
        assert load["audit"] == {"is_clean": True, "faults": []}
        assert load["not_committed"] == {}
        assert 0 < load["latency_ms"]["p50"] <= load["latency_ms"]["p99"] <= load["latency_ms"]["max"]
        assert sum(load["payments_by_tenth_of_second"]) == pytest.approx(load["payments"], rel=0.2)
        by_name = {process["name"]: process for process in load["processes"]}
        assert list(by_name) == ["gateway", "BANK01", "BANK02", "caller 1"]
        assert all(process["rss_bytes"] > 10_000_000 for process in by_name.values())
    one, callers, batch = document["loads"]
    # One at a time, each payment is a decision of its own; together, they share fsyncs.
    assert one["processes"][0]["fsyncs"] == pytest.approx(one["payments"], abs=5)
    assert callers["processes"][0]["fsyncs"] < callers["payments"] / 4
    assert batch["processes"][0]["fsyncs"] < batch["payments"] / 8
    assert not list(tmp_path.iterdir())
    assert not processes_of(tmp_path)


def test_the_running_cluster_can_be_loaded_and_loses_nothing(cluster):
    words = ("bench", "--here", "--load", "one", "--for", "500ms")
    before = cluster.shell("alice", "balance")
    shown = cluster.run(*words, password="alice123").stdout.splitlines()
    assert shown[1].split()[0] == "one"
    assert shown[1].endswith("clean")
    refused = cluster.run(*words, expect=1)
    assert "put the password of alice into CLUSTER_PASSWORD" in refused.stderr
    guessed = cluster.run(*words, password="bob123", expect=1)
    assert "UNAUTHENTICATED: user or password is wrong" in guessed.stderr
    assert len(cluster.shell("alice", "balance").splitlines()) == len(before.splitlines())


def test_books_that_are_wrong_fail_the_bench_and_what_is_wrong_is_named(cluster):
    """HDFC's books are whole by themselves; that the other bank paid in what they say, is made up."""
    cluster.run("down")
    make_money(cluster.folder / "state" / "HDFC.db", "bob")
    cluster.run("up")
    failed = cluster.run("bench", "--here", "--load", "one", "--for", "500ms", password="alice123", expect=1)
    assert failed.stdout.splitlines()[1].endswith("FAILED")
    assert "error: one: the audit has failed: " in failed.stderr
    assert "mallory" in failed.stderr


def make_money(database: Path, user: str) -> None:
    """Put an entry into a bank's books that gives a user 1 from a bank that knows nothing of it."""
    books = BankStore.open(database, "HDFC")
    payee = books.find_account(user)
    clearing = books.find_account("@ICICI/INR") or Account("@ICICI/INR", "INR")
    assert payee is not None
    payee.posted, clearing.posted = payee.posted + 1, clearing.posted - 1
    ended = Outcome.COMMITTED, Reason.NONE
    entry = Entry(uuid4().bytes, "mallory", 1, *ended, "@ICICI/INR", user, 1, "INR", 0)
    books.write(Changes([payee, clearing], [], [], [entry]), 0)
    books.close()


def test_a_cluster_that_a_load_fails_on_is_stopped_and_kept(tmp_path):
    [load] = choose_loads(["one"], Sizes())
    with pytest.raises(ArithmeticError) as failed:
        _fail_on_a_cluster(load, tmp_path)
    [kept] = tmp_path.iterdir()
    assert failed.value.__notes__ == [f"the cluster's folder is kept: {kept}"]
    assert (kept / "state" / "gateway.db").exists()
    assert not processes_of(tmp_path)


def _fail_on_a_cluster(load, parent):
    with scratch_target(load, parent) as target:
        assert all(node["is_ready"] for node in describe_nodes(target.folder))
        raise ArithmeticError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(cluster, tmp_path, number):
    # Far longer than it is waited for: it must not end because the time is over.
    words = ("bench", "--load", "one", "--for", "10m", "--scratch", str(tmp_path))
    command, environment = cluster.command(*words), cluster.environment()
    with subprocess.Popen(
        command, cwd=cluster.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stderr is not None
        try:
            while "warming up" not in bench.stderr.readline():
                assert bench.poll() is None
            bench.send_signal(number)
            assert "interrupted" in bench.communicate(timeout=120)[1]
            assert bench.returncode == 130
        finally:
            bench.kill()
    wait_until(lambda: not processes_of(tmp_path), "every process gone")
    assert not list(tmp_path.iterdir())
