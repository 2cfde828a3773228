"""A cluster that a command starts, stops and calls: one of its own (`lifecycle.scratch`), or another."""

from collections.abc import Callable

from nodes.client import Client
from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.preparing import prepare
from orchestrator.lifecycle.starting import CannotStart, NotInTime, all_serve, join_or_start, wait_for
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.links.addresses import CLIENT, GATEWAY
from orchestrator.supervision.plan import Plan

_UP_WITHIN_S = 120.0


class DrivenCluster:
    """The cluster in ``folder``, and the password of who pays there; it ends with the pipe ``lifeline_fd``."""

    def __init__(self, folder: ClusterFolder, password: str, lifeline_fd: int | None = None) -> None:
        self.folder = folder
        self.password = password
        self.lifeline_fd = lifeline_fd
        self.config = load(folder.config)

    def up(self, fill: Callable[[], None] = lambda: None) -> None:
        """Start it, or join it, and wait until all serve; raises `CannotStart`.

        ``fill`` is called before nodes are started, when all that they need has been made.
        """

        def make_ready() -> Plan:
            plan = prepare(self.config, self.folder)
            fill()
            return plan

        socket = self.folder.control_socket
        join_or_start(socket, make_ready, within_s=_UP_WITHIN_S, lifeline_fd=self.lifeline_fd)
        try:
            wait_for(socket, all_serve, within_s=_UP_WITHIN_S)
        except NotInTime as late:
            missing = ", ".join(
                f"{node['name']} ({node['reason']})" for node in late.nodes if not node["is_ready"]
            )
            raise CannotStart(f"not serving within {_UP_WITHIN_S:g} s: {missing}") from late

    def down(self) -> None:
        """Stop it, if it runs."""
        stop_cluster(self.folder.control_socket)

    def connect(self) -> Client:
        """Return a client at the end of the link that can be broken."""
        folder = self.folder
        files = TlsFiles(folder.ca_certificate, folder.shell_certificate, folder.shell_key)
        return Client(
            self.config.address_for(CLIENT, GATEWAY), load_tls(files, kind=PeerKind.CLIENT, name="shell")
        )
