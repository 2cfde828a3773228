"""A supervisor with fake nodes in a folder of its own, for tests; everything it started ends with it."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from orchestrator.supervision.control import SupervisorAway, ask, follow
from orchestrator.supervision.lock import read_owner
from orchestrator.supervision.plan import Launch, Plan, write_plan
from orchestrator.supervision.policy import Limits

HERE = Path(__file__).parent
DEADLINE_S = 15.0
LIMITS = Limits(hung_after_s=0.5, stop_grace_s=0.5)


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until(is_so: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    """Look again and again until it is so; for what gives no sign of its own, such as a process's end."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Cluster:
    """Supervisor and nodes in ``folder``; a node's behaviour is its extra flags."""

    def __init__(self, folder: Path, nodes: dict[str, list[str]], limits: Limits = LIMITS) -> None:
        self.folder = folder
        self.socket = folder / "state" / "control.sock"
        self.launches = tuple(self._launch(name, flags) for name, flags in nodes.items())
        self.plan = Plan(
            launches=self.launches,
            limits=limits,
            prober=(sys.executable, str(HERE / "fake_prober.py"), "0.05"),
            prober_output=str(folder / "logs" / "prober.stderr"),
            lock=str(folder / "state" / "supervisor.lock"),
            socket=str(self.socket),
            journal=str(folder / "logs" / "supervisor.log"),
        )
        self.supervisors: list[subprocess.Popen[bytes]] = []
        (folder / "state").mkdir(mode=0o700)
        (folder / "logs").mkdir(mode=0o700)

    def _launch(self, name: str, flags: list[str]) -> Launch:
        address = f"localhost:{free_port()}"
        command = (sys.executable, "-S", str(HERE / "fake_node.py"), "--listen", address, *flags)
        role = "gateway" if name == "gateway" else "bank"
        return Launch(name, role, address, "", command, str(self.folder / "logs" / f"{name}.stderr"))

    def start(self) -> "subprocess.Popen[bytes]":
        """Start a supervisor; whether it gets the folder is its own affair."""
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.supervision.supervisor"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.supervisors.append(supervisor)
        assert supervisor.stdin is not None
        supervisor.stdin.write(write_plan(self.plan))
        supervisor.stdin.close()
        return supervisor

    def up(self) -> dict[str, dict[str, Any]]:
        """Start a supervisor and return the nodes when all serve."""
        self.start()
        return self.wait(lambda nodes: all(node["is_ready"] for node in nodes.values()), "all serve")

    def nodes(self) -> dict[str, dict[str, Any]]:
        return by_name(ask(self.socket, {"do": "status"}))

    def wait(self, is_so: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> dict[str, dict[str, Any]]:
        """Follow the supervisor until its nodes are so, and return them."""
        wait_until(self._is_reachable, "the supervisor answers")
        deadline_s = time.monotonic() + DEADLINE_S
        seen = {}
        for answer in follow(self.socket, {"do": "watch"}, within_s=DEADLINE_S):
            seen = by_name(answer)
            if is_so(seen):
                return seen
            assert time.monotonic() < deadline_s, f"not in time: {what}; {seen}"
        raise AssertionError(f"the supervisor went away before: {what}; {seen}")

    def events(self) -> list[tuple[str, str, str]]:
        """Return (node, event, text) of all that the journal's file holds."""
        lines = (self.folder / "logs" / "supervisor.log").read_text().splitlines()
        return [(entry["node"], entry["event"], entry["text"]) for entry in map(json.loads, lines)]

    def down(self) -> None:
        """Stop everything and wait for the supervisor's end."""
        for _ in follow(self.socket, {"do": "stop"}, within_s=DEADLINE_S):
            pass
        assert self.supervisors[-1].wait(DEADLINE_S) == 0

    def close(self) -> None:
        """End whatever is left."""
        owner = read_owner(Path(self.plan.lock))
        if owner is not None:
            psutil.Process(owner).kill()
        for supervisor in self.supervisors:
            if supervisor.poll() is None:
                supervisor.kill()
            supervisor.wait()
            assert supervisor.stderr is not None
            supervisor.stderr.close()

    def _is_reachable(self) -> bool:
        try:
            return bool(ask(self.socket, {"do": "status"}))
        except (SupervisorAway, FileNotFoundError):
            return False


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in answer["nodes"]}
