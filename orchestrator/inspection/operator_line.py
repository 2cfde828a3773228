"""The orchestrator's own line to the nodes, with the operator's certificate."""

from nodes.client import BankInspector, OperatorClient
from nodes.core.names import PeerKind
from nodes.runtime.tls import Tls, TlsFiles, load_tls
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder


def call_gateway(config: ClusterConfig, folder: ClusterFolder) -> OperatorClient:
    """Return a line to the gateway. Raises `nodes.runtime.tls.CertificateUnusable`."""
    return OperatorClient(config.gateway.address, _load(folder))


def call_bank(config: ClusterConfig, folder: ClusterFolder, name: str) -> BankInspector:
    """Return a line to a bank."""
    return BankInspector(name, config.banks[name].address, _load(folder))


def _load(folder: ClusterFolder) -> Tls:
    files = TlsFiles(folder.ca_certificate, folder.operator_certificate, folder.operator_key, folder.revoked)
    return load_tls(files, kind=PeerKind.OPERATOR)
