"""A client written in another language, from the .proto files alone, logs in and pays."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running_nodes import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")
def test_a_client_in_node_logs_in_and_pays(cluster, tmp_path):
    shutil.copy(Path(__file__).parent / "client.mjs", tmp_path)
    install = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "@grpc/grpc-js@1",
        "@grpc/proto-loader@0.8",
    ]
    installed = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    if installed.returncode:
        pytest.skip(f"the packages of the other language cannot be had here: {installed.stderr[-200:]}")
    command = ["node", "client.mjs", str(cluster.folder), str(ROOT / "proto"), str(cluster.gateway_port)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=cluster.environment("alice123"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "first": "OUTCOME_COMMITTED",
        "again": "OUTCOME_COMMITTED",
        "replayed": True,
        "newest": True,
    }
