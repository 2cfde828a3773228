"""Where everything of a cluster lies: beside its cluster.yaml, and nowhere else.

Bank names come from a list of allowed letters (`nodes.core.names`), so a name in a
path stays a name.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CONFIG_NAME = "cluster.yaml"
_HOME = "CLUSTER_HOME"
"""Set by the start script: the checkout that it lies in."""


def find_config() -> Path:
    """Return the nearest cluster.yaml, in this folder or one above, else that of the checkout, if run from one.

    Where it would be here, if there is none.
    """
    here = Path.cwd()
    folders = [here, *here.parents, *([Path(os.environ[_HOME])] if _HOME in os.environ else [])]
    candidates = [folder / CONFIG_NAME for folder in folders]
    return next((path for path in candidates if path.is_file()), candidates[0])


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    """The folder of one cluster; ``root`` is absolute."""

    root: Path
    config_name: str = CONFIG_NAME

    @property
    def config(self) -> Path:
        """The configuration that people edit."""
        return self.root / self.config_name

    @property
    def certs(self) -> Path:
        """Certificates and keys."""
        return self.root / "certs"

    @property
    def logs(self) -> Path:
        """What the nodes did, and the line for each payment."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """Databases, the outbox, the supervisor's lock and socket."""
        return self.root / "state"

    # -- certificates -----------------------------------------------------------

    @property
    def ca_certificate(self) -> Path:
        """The authority that signs all certificates of the cluster; while another takes over, both."""
        return self.certs / "ca" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The authority's key: whoever has it can be anyone."""
        return self.certs / "ca" / "ca.key"

    @property
    def next_authority(self) -> Path:
        """The authority that is to take over, while one does: its key and its certificate."""
        return self.certs / "ca" / "next.pem"

    @property
    def revoked(self) -> Path:
        """Whose certificates are worth nothing any more."""
        return self.certs / "ca" / "revoked.json"

    @property
    def gateway_certificate(self) -> Path:
        """The gateway's own."""
        return self.certs / "gateway" / "gateway.crt"

    @property
    def gateway_key(self) -> Path:
        """Its key."""
        return self.certs / "gateway" / "gateway.key"

    @property
    def token_key(self) -> Path:
        """The key that signs the tokens of users."""
        return self.certs / "gateway" / "token.key"

    def bank_certificate(self, name: str) -> Path:
        """Return where a bank's own is."""
        return self.certs / "bank" / f"{name}.crt"

    def bank_key(self, name: str) -> Path:
        """Return where its key is."""
        return self.certs / "bank" / f"{name}.key"

    @property
    def operator_certificate(self) -> Path:
        """The operator's: what the orchestrator itself calls nodes with."""
        return self.certs / "client" / "operator.crt"

    @property
    def operator_key(self) -> Path:
        """Its key."""
        return self.certs / "client" / "operator.key"

    @property
    def shell_certificate(self) -> Path:
        """The certificate that users' shells call the gateway with."""
        return self.certs / "client" / "shell.crt"

    @property
    def shell_key(self) -> Path:
        """Its key."""
        return self.certs / "client" / "shell.key"

    # -- state ------------------------------------------------------------------

    def database(self, node: str) -> Path:
        """Return a node's database."""
        return self.state / f"{node}.db"

    def accounts(self, bank: str) -> Path:
        """Return the accounts that a bank is to open."""
        return self.state / f"{bank}.accounts.json"

    @property
    def outbox(self) -> Path:
        """Payments that shells have not seen the end of."""
        return self.state / "outbox.db"

    @property
    def shell_history(self) -> Path:
        """What was typed into the shell; never a password."""
        return self.state / "shell_history"

    def crash_order(self, process: str) -> Path:
        """Return where a process of a test cluster finds its order to crash; see `crash_registry`."""
        return self.state / "crash" / f"{process}.order"

    @property
    def supervisor_lock(self) -> Path:
        """Who holds it owns the cluster."""
        return self.state / "supervisor.lock"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor takes orders."""
        return self.state / "control.sock"
