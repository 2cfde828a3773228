"""Nodes have fewer threads of gRPC's; who imports their packages has what it had."""

import os
import subprocess
import sys

import pytest

from tests.running_nodes import ROOT

_SHOW = "import os; print(os.environ.get('GRPC_EXPERIMENTS', 'as it was'))"


def import_and_show(*modules: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    words = [sys.executable, "-c", f"import {', '.join(modules)}; {_SHOW}"]
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto'}"
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_who_imports_a_nodes_package_and_starts_clients_has_their_channels_as_they_were():
    """A blocking channel that reads in the older way never comes back once its peer was away."""
    assert import_and_show("nodes.gateway.store", "nodes.bank.store", "nodes.preload") == "as it was"


@pytest.mark.parametrize("node", ["gateway", "bank"])
def test_a_node_reads_in_the_older_way(node):
    assert import_and_show(f"nodes.{node}.__main__").startswith("-event_engine_client")
