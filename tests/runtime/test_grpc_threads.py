"""Nodes have fewer threads of gRPC's; who imports their packages has what it had."""

import os
import subprocess
import sys

import pytest

from tests.running_nodes import ROOT

_SHOW = "print('\\n' + os.environ.get('GRPC_EXPERIMENTS', 'as it was'))"


def do_and_show(statement: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    words = [sys.executable, "-c", f"import os, runpy, sys\n{statement}\n{_SHOW}"]
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto'}"
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("module", ["nodes.gateway.__main__", "nodes.bank.__main__", "nodes.preload"])
def test_who_imports_a_node_and_starts_clients_has_their_channels_as_they_were(module):
    """A blocking channel that reads in the older way never comes back once its peer was away."""
    assert do_and_show(f"import {module}") == "as it was"


@pytest.mark.parametrize("node", ["gateway", "bank"])
def test_a_node_that_is_run_reads_in_the_older_way(node):
    run = f"runpy.run_module('nodes.{node}', run_name='__main__')"
    asked = f"sys.argv[1:] = ['--help']\ntry:\n    {run}\nexcept SystemExit:\n    pass"
    assert do_and_show(asked).startswith("-event_engine_client")
