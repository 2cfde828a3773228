"""A test cluster of the campaign's own: on free ports, with users of its own, in a folder of its own."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from nodes.client import Client
from nodes.core.names import PeerKind
from nodes.runtime.passwords import hash_password
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.layout.config import ClusterConfig, load
from orchestrator.layout.folder import CONFIG_NAME, ClusterFolder
from orchestrator.layout.ports import find_free_ports
from orchestrator.lifecycle.preparing import prepare
from orchestrator.lifecycle.starting import CannotStart, Nodes, NotInTime, join_or_start, wait_for
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.links.addresses import CLIENT, GATEWAY

OPENING_MINOR = 1_000_000
HOT_OPENING_MINOR = 10_000
"""So little that payments from it often fail on funds: what several callers could spend twice."""
HOT = "hot"
_UP_WITHIN_S = 60.0
_CONFIG = """name: campaign.local
profile: test
gateway: {{address: localhost:{port}}}
banks:
{banks}
"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The cluster: where it lies, and the password that all its users have."""

    config: ClusterConfig
    folder: ClusterFolder
    password: str

    def up(self) -> None:
        """Start it, or join it, and wait until all serve; raises `CannotStart`."""
        socket = self.folder.control_socket
        join_or_start(socket, lambda: prepare(self.config, self.folder), within_s=_UP_WITHIN_S)
        try:
            wait_for(socket, all_serve, within_s=_UP_WITHIN_S)
        except NotInTime as late:
            missing = ", ".join(
                f"{node['name']} ({node['reason']})" for node in late.nodes if not node["is_ready"]
            )
            raise CannotStart(f"not serving within {_UP_WITHIN_S:g} s: {missing}") from late

    def down(self) -> None:
        """Stop it."""
        stop_cluster(self.folder.control_socket)

    def connect(self) -> Client:
        """Return a client at the end of the link that can be broken."""
        folder = self.folder
        files = TlsFiles(folder.ca_certificate, folder.shell_certificate, folder.shell_key)
        return Client(self.config.address_for(CLIENT, GATEWAY), load_tls(files, kind=PeerKind.CLIENT))


def all_serve(nodes: Nodes) -> bool:
    """Tell whether every node is ready for payments."""
    return all(node["is_ready"] for node in nodes)


def make_scratch(root: Path, banks: tuple[str, ...], users: list[str]) -> Scratch:
    """Write the cluster's files into ``root``, every user with an account at every bank."""
    port, *bank_ports = find_free_ports(1 + len(banks))
    lines = [
        f"  {bank}: {{address: localhost:{bank_port}}}" for bank, bank_port in zip(banks, bank_ports, strict=True)
    ]
    folder = ClusterFolder(root)
    folder.config.write_text(_CONFIG.format(port=port, banks="\n".join(lines)))
    password = secrets.token_hex(16)
    hashed = hash_password(password)
    known = [
        {
            "name": user,
            "role": "customer",
            "password_hash": hashed,
            "accounts": dict.fromkeys(banks, f"{opening_minor(user) / 100:.2f}"),
        }
        for user in users
    ]
    (root / "users.json").write_text(json.dumps({"users": known}))
    return Scratch(load(root / CONFIG_NAME), folder, password)


def opening_minor(user: str) -> int:
    """Return what each of a user's accounts is opened with."""
    return HOT_OPENING_MINOR if user == HOT else OPENING_MINOR
