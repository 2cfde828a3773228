"""Which certificate a node really shows, found out by shaking hands with it.

What a node says of itself, or writes into its log, could be wrong: this is what any caller meets.
"""

import socket
import ssl
from pathlib import Path

from cryptography import x509

from orchestrator.layout.folder import ClusterFolder

_WITHIN_S = 2.0


def find_shown_serial(folder: ClusterFolder, address: str, tls_name: str) -> str:
    """Return the serial, in hexadecimal, that ``address`` shows; empty if it is not there or not ``tls_name``."""
    try:
        context = _make_context(folder.ca_certificate, folder.operator_certificate, folder.operator_key)
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_WITHIN_S) as plain,
            context.wrap_socket(plain, server_hostname=tls_name) as line,
        ):
            shown = line.getpeercert(binary_form=True)
    except OSError:
        return ""
    return f"{x509.load_der_x509_certificate(shown).serial_number:x}" if shown else ""


def _make_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    return context
