"""The cluster that is crashed: in a folder of its own, driven by the `cluster` command as any other."""

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes.client import Client
from nodes.core.names import Identity, PeerKind
from nodes.runtime.passwords import hash_password
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.layout.config import load
from orchestrator.layout.folder import CONFIG_NAME, ClusterFolder
from orchestrator.layout.ports import find_free_ports
from orchestrator.lifecycle.starting import Node, Nodes, is_answering, wait_for
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.links.addresses import CLIENT, GATEWAY
from orchestrator.supervision.control import ask
from orchestrator.supervision.processes import clean_environment

BANKS = ("HDFC", "ICICI", "SBI")
PAYERS = ("ann", "ben", "cid", "dot")
POOR = "poor"
"""Has accounts and no money: whatever this one pays is declined."""
SHELL_USER = "eve"
_COMMAND_WITHIN_S = 90.0
_SERVES_WITHIN_S = 30.0
# Nodes crash here again and again, and are never given up for that.
_CONFIG = """name: matrix.local
profile: test
gateway: {{address: localhost:{port}}}
restart: {{give_up_after: 1000 starts in 1s}}
banks:
{banks}
"""


class CommandFailed(Exception):
    """A command did not do what it is for; the message is what it said."""


class Ground:
    """One such cluster. Nothing of it runs before `run` is told ``up``."""

    def __init__(self, root: Path) -> None:
        self.folder = ClusterFolder(root)
        self.password = secrets.token_hex(16)
        root.mkdir(parents=True, exist_ok=True)
        port, *bank_ports = find_free_ports(1 + len(BANKS))
        banks = [f"  {bank}: {{address: localhost:{at}}}" for bank, at in zip(BANKS, bank_ports, strict=True)]
        self.folder.config.write_text(_CONFIG.format(port=port, banks="\n".join(banks)))
        (root / "users.json").write_text(json.dumps({"users": self._make_users()}))
        self.config = load(root / CONFIG_NAME)

    def _make_users(self) -> list[dict[str, Any]]:
        known = {"role": "customer", "password_hash": hash_password(self.password)}
        funds = {**dict.fromkeys((*PAYERS, SHELL_USER), "1,000,000.00"), POOR: "0.00"}
        return [{"name": user, **known, "accounts": dict.fromkeys(BANKS, sum_)} for user, sum_ in funds.items()]

    # -- commands ---------------------------------------------------------------

    def start(self, *words: str, **streams: Any) -> "subprocess.Popen[str]":
        """Start a command, with the password of every user."""
        environment = {**clean_environment(), "CLUSTER_PASSWORD": self.password}
        for name in ("CLUSTER_FILE", "CLUSTER_HOME"):
            environment.pop(name, None)
        command = [sys.executable, "-P", "-m", "orchestrator", *words]
        return subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=self.folder.root, env=environment, text=True, **streams
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
        self._wait(lambda nodes: _all_serve(nodes) or any(node["state"] == "FATAL" for node in nodes))
        for node in self.nodes().values():
            if node["state"] == "FATAL":
                self.run("restart", node["name"])
        self._wait(_all_serve)

    def _wait(self, is_settled: Callable[[Nodes], bool]) -> None:
        wait_for(self.folder.control_socket, is_settled, within_s=_SERVES_WITHIN_S)

    # -- calls ------------------------------------------------------------------

    def connect(self, user: str) -> Client:
        """Return a client that is logged in; raises `nodes.client.ClientError`."""
        files = TlsFiles(self.folder.ca_certificate, self.folder.shell_certificate, self.folder.shell_key)
        tls = load_tls(files, kind=PeerKind.CLIENT, name="shell")
        client = Client(self.config.address_for(CLIENT, GATEWAY), tls)
        client.log_in(user, self.password)
        return client

    def identity(self, kind: PeerKind, name: str = "") -> Identity:
        """Return who a node is."""
        return Identity(self.config.name, kind, name)


def _all_serve(nodes: Nodes) -> bool:
    return all(node["is_ready"] for node in nodes)


@contextmanager
def scratch_grounds(parent: Path, count: int) -> Iterator[list[Ground]]:
    """Give so many clusters, stopped and removed at the end; when that fails the folder is kept and named."""
    root = Path(tempfile.mkdtemp(prefix="cluster-matrix-", dir=parent))
    grounds = [Ground(root / str(number)) for number in range(count)]
    try:
        yield grounds
    except Exception as error:
        _stop(grounds)
        error.add_note(f"the clusters' folder is kept: {root}")
        raise
    except BaseException:
        _stop(grounds)
        shutil.rmtree(root)
        raise
    _stop(grounds)
    shutil.rmtree(root)


def _stop(grounds: Iterable[Ground]) -> None:
    for ground in grounds:
        if ground.folder.supervisor_lock.exists():
            stop_cluster(ground.folder.control_socket)
