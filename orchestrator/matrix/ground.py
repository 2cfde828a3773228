"""The cluster that is crashed: in a folder of its own, driven by the `cluster` command as any other."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from nodes.client import Client
from nodes.core.names import Identity, PeerKind
from orchestrator.lifecycle.scratch import ScratchCluster, Shape
from orchestrator.lifecycle.starting import Node, Nodes, all_serve, is_answering, wait_for
from orchestrator.supervision.control import ask
from orchestrator.supervision.processes import clean_environment

BANKS = ("HDFC", "ICICI", "SBI")
PAYERS = ("ann", "ben", "cid", "dot")
POOR = "poor"
"""Has accounts and no money: whatever this one pays is declined."""
SHELL_USER = "eve"
_COMMAND_WITHIN_S = 90.0
_SERVES_WITHIN_S = 30.0
SHAPE = Shape(
    "matrix.local",
    BANKS,
    {**dict.fromkeys((*PAYERS, SHELL_USER), "1,000,000.00"), POOR: "0.00"},
    # Nodes crash here again and again, and are never given up for that.
    "profile: test\nrestart: {give_up_after: 1000 starts in 1s}",
)


class CommandFailed(Exception):
    """A command did not do what it is for; the message is what it said."""


class Ground:
    """One such cluster, of the shape `SHAPE`. Nothing of it runs before `run` is told ``up``."""

    def __init__(self, cluster: ScratchCluster) -> None:
        self.folder = cluster.folder
        self.config = cluster.config
        self.password = cluster.password
        self._cluster = cluster

    # -- commands ---------------------------------------------------------------

    def start(self, *words: str, **streams: Any) -> "subprocess.Popen[str]":
        """Start a command, with the password of every user."""
        environment = {**clean_environment(), "CLUSTER_PASSWORD": self.password}
        for name in ("CLUSTER_FILE", "CLUSTER_HOME"):
            environment.pop(name, None)
        ropes = (self._cluster.lifeline_fd,) if words[0] == "up" else ()
        flags = [f"--lifeline-fd={rope}" for rope in ropes]
        command = [sys.executable, "-P", "-m", "orchestrator", *words, *flags]
        return subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=self.folder.root, env=environment, text=True, pass_fds=ropes, **streams
        )

    def run(self, *words: str, may_fail: bool = False) -> str:
        """Run a command to its end and return what it said; raises `CommandFailed` unless it ``may_fail``."""
        with self.start(
            *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as begun:
            try:
                said, _ = begun.communicate(timeout=_COMMAND_WITHIN_S)
            except subprocess.TimeoutExpired as error:
                begun.kill()
                raise CommandFailed(f"`cluster {words[0]}` did not end in {_COMMAND_WITHIN_S:g} s") from error
        if begun.returncode and not may_fail:
            last = " / ".join(said.strip().splitlines()[-3:])
            raise CommandFailed(f"`cluster {words[0]}` exits with {begun.returncode}: {last}")
        return said

    def order(self, do: str, node: str, **more: Any) -> None:
        """Have the supervisor do something to a node."""
        ask(self.folder.control_socket, {"do": do, "node": node, **more})

    def nodes(self) -> dict[str, Node]:
        """Return how every node is, by name."""
        return {node["name"]: node for node in ask(self.folder.control_socket, {"do": "status"})["nodes"]}

    def bring_back(self) -> None:
        """Have all nodes serve, by the commands that people have for it if nothing is left that would do it.

        Raises `orchestrator.lifecycle.starting.NotInTime`.
        """
        if not is_answering(self.folder.control_socket):
            self.run("up", may_fail=True)
        # Banks are never ready while their gateway is given up.
        self._wait(lambda nodes: all_serve(nodes) or any(node["state"] == "FATAL" for node in nodes))
        for node in self.nodes().values():
            if node["state"] == "FATAL":
                self.run("restart", node["name"])
        self._wait(all_serve)

    def _wait(self, is_settled: Callable[[Nodes], bool]) -> None:
        wait_for(self.folder.control_socket, is_settled, within_s=_SERVES_WITHIN_S)

    # -- calls ------------------------------------------------------------------

    def connect(self, user: str) -> Client:
        """Return a client that is logged in; raises `nodes.client.ClientError`."""
        client = self._cluster.connect()
        client.log_in(user, self.password)
        return client

    def identity(self, kind: PeerKind, name: str = "") -> Identity:
        """Return who a node is."""
        return Identity(self.config.name, kind, name)
