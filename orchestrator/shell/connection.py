"""The shell's line to the gateway, with the cluster's own client certificate."""

from nodes.client import Client
from nodes.core.names import Identity, PeerKind
from nodes.runtime.client_calls import BlockingClientCalls
from nodes.runtime.event_log import open_event_log
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.links.addresses import CLIENT, GATEWAY


def connect(config: ClusterConfig, folder: ClusterFolder) -> Client:
    """Return a client; it calls nobody before it is used. Raises `nodes.runtime.tls.CertificateUnusable`."""
    files = TlsFiles(folder.ca_certificate, folder.shell_certificate, folder.shell_key, folder.revoked)
    log = open_event_log(folder.logs / "shell.log", "shell")
    tls = load_tls(files, kind=PeerKind.CLIENT, name="shell")
    gateway = Identity(tls.identity.cluster, PeerKind.GATEWAY)
    return Client(config.address_for(CLIENT, GATEWAY), tls, [BlockingClientCalls(log, gateway)])
