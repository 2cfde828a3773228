"""Clusters that a command makes for itself: on free ports, in a folder of their own, and gone with the command.

Whoever makes one holds the only writing end of a pipe (`supervision.processes.Lifeline`),
at whose end the supervisor stops all nodes. So they end with their maker, be that killed
with -9; of a maker that was, the folder is left.
"""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nodes.runtime.passwords import hash_password
from orchestrator.console.interrupts import sigterm_as_ctrl_c
from orchestrator.layout.folder import ClusterFolder
from orchestrator.layout.ports import find_free_ports
from orchestrator.lifecycle.driven import DrivenCluster
from orchestrator.supervision.processes import Lifeline


@dataclass(frozen=True, slots=True)
class Shape:
    """What a cluster is made of. Each user has an account at every bank."""

    name: str
    banks: Sequence[str]
    openings: Mapping[str, str]
    """What each account of a user is opened with, as users.json has it: ``1,000.00``."""
    settings: str = ""
    """More lines for cluster.yaml."""


class ScratchCluster(DrivenCluster):
    """One such cluster, with one password for all its users. Nothing of it runs before `up`."""

    lifeline_fd: int
    """For processes of the maker that must end with it, too."""

    def __init__(self, root: Path, shape: Shape, lifeline_fd: int) -> None:
        root.mkdir(exist_ok=True)
        folder, password = ClusterFolder(root), secrets.token_hex(16)
        folder.config.write_text(_write_config(shape))
        (root / "users.json").write_text(_write_users(shape, password))
        super().__init__(folder, password, lifeline_fd)


class ScratchFolder:
    """A folder for such clusters and for what else its maker writes there; get it from `scratch_folder`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_kept = False
        self._lifeline = Lifeline()
        self._clusters: list[ScratchCluster] = []

    def make_cluster(self, shape: Shape, at: str = ".") -> ScratchCluster:
        """Write the files of a cluster into the folder, or into one below it."""
        cluster = ScratchCluster(self.root / at, shape, self._lifeline.read_fd)
        self._clusters.append(cluster)
        return cluster

    def keep(self) -> None:
        """Have the folder stay when all is over."""
        self._is_kept = True

    def close(self) -> None:
        """Stop all clusters, and remove the folder unless it is kept."""
        try:
            for cluster in self._clusters:
                cluster.down()
        finally:
            self._lifeline.close()
        if not self._is_kept:
            shutil.rmtree(self.root)


@contextmanager
def scratch_folder(parent: Path, purpose: str) -> Iterator[ScratchFolder]:
    """Give a folder for clusters, which are stopped at the end, and removed with it.

    SIGTERM ends what is done in it as Ctrl-C does. When that fails, the folder is kept
    and named in a note of the error.
    """
    scratch = ScratchFolder(Path(tempfile.mkdtemp(prefix=f"cluster-{purpose}-", dir=parent)))
    with sigterm_as_ctrl_c():
        try:
            yield scratch
        except Exception as error:
            scratch.keep()
            error.add_note(f"the cluster's folder is kept: {scratch.root}")
            raise
        finally:
            scratch.close()


def _write_config(shape: Shape) -> str:
    port, *bank_ports = find_free_ports(1 + len(shape.banks))
    return "\n".join(
        [
            f"name: {shape.name}",
            f"gateway: {{address: localhost:{port}}}",
            *([shape.settings] if shape.settings else []),
            "banks:",
            *(f"  {bank}: {{address: localhost:{at}}}" for bank, at in zip(shape.banks, bank_ports, strict=True)),
            "",
        ]
    )


def _write_users(shape: Shape, password: str) -> str:
    known = {"role": "customer", "password_hash": hash_password(password)}
    users = [
        {"name": user, **known, "accounts": dict.fromkeys(shape.banks, opening)}
        for user, opening in shape.openings.items()
    ]
    return json.dumps({"users": users})
