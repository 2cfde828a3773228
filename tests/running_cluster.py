"""A whole cluster, driven by the `cluster` command alone, on ports and in a folder of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.running_nodes import ROOT, free_ports

DEADLINE_S = 60.0


class RunningCluster:
    """A folder made by `cluster init`; `run` runs a command in it. ``is_test`` gives it the profile test."""

    def __init__(self, folder: Path, *, is_test: bool = False) -> None:
        self.folder = folder
        self.run("init", str(folder))
        ports = dict(zip(("50052", "60051", "60052", "60053"), map(str, free_ports(4)), strict=True))
        config = folder / "cluster.yaml"
        text = re.sub(r"(?<=localhost:)\d+", lambda found: ports[found[0]], config.read_text())
        config.write_text(text.replace("# profile: standard", "profile: test") if is_test else text)
        self.gateway_port = int(ports["50052"])

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *words]

    def environment(self, password: str = "") -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "TZ": "UTC"}
        for name in ("CLUSTER_PASSWORD", "CLUSTER_FILE", "CLUSTER_HOME"):
            environment.pop(name, None)
        return {**environment, "CLUSTER_PASSWORD": password} if password else environment

    def run(
        self, *words: str, password: str = "", stdin: str = "", expect: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``expect`` is the exit code, None for any."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(password),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert expect is None or done.returncode == expect, (
            f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def shell(self, user: str, *lines: str, expect: int | None = 0) -> str:
        """Carry out lines as a user; return what was printed."""
        options = [word for line in lines for word in ("-e", line)]
        return self.run("shell", "-u", user, *options, password=f"{user}123", expect=expect).stdout

    def shell_json(self, user: str, line: str) -> dict[str, Any]:
        """Carry one line out as a user; return what a program is given."""
        done = self.run("shell", "-u", user, "-o", "json", "-e", line, password=f"{user}123")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return how every node is, by its name."""
        status = json.loads(self.run("status", "-o", "json", expect=None).stdout)
        return {node["name"]: node for node in status["nodes"]}


def processes_of(folder: Path) -> list[int]:
    """Return the processes that were started with a path below ``folder``."""
    return [
        process.pid
        for process in psutil.process_iter()
        if any(str(folder) in word for word in _words(process)) and process.status() != psutil.STATUS_ZOMBIE
    ]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
