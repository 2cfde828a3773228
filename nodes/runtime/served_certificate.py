"""The certificate that a server shows: replaced while it runs, from the next handshake on.

gRPC asks before each handshake whether there is a new one. It is answered None unless
there is: a new configuration makes new TLS state in its core, and one that a handshake is
about to use must not be taken from under it. That handshake has left the lock under which
gRPC asks, and copies its reference within microseconds; so the answer waits for
milliseconds before it replaces anything, which costs one handshake a moment for each
replacement, and no other anything.
"""

import asyncio
import time

import grpc
from structlog.typing import FilteringBoundLogger

from nodes.runtime.tls import Tls

_OTHERS_HAVE_BEGUN_S = 0.005


class ServedCertificate:
    """What one server shows; made on the event loop of its log. gRPC asks on threads of its own, one at a time."""

    def __init__(self, tls: Tls, log: FilteringBoundLogger) -> None:
        self._newest = self._served = tls
        self._log = log

    @property
    def serial(self) -> str:
        """The serial number that was shown in the last handshake."""
        return self._served.serial

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a port is opened with: callers need a certificate of an authority that is trusted now."""
        self._loop = asyncio.get_running_loop()
        return grpc.dynamic_ssl_server_credentials(
            self._newest.server_configuration(),
            self._find_newer,  # type: ignore[arg-type]  # None is the usual answer, whatever the stubs say
            require_client_authentication=True,
        )

    def is_other(self, tls: Tls) -> bool:
        """Tell whether ``tls`` would change what is shown, or which authorities are trusted."""
        newest = self._newest
        return (tls.certificate_pem, tls.ca_pem) != (newest.certificate_pem, newest.ca_pem)

    def replace(self, tls: Tls) -> None:
        """Show ``tls`` in the next handshake, and trust its authorities."""
        self._newest = tls

    def _find_newer(self) -> grpc.ServerCertificateConfiguration | None:
        newest = self._newest
        if newest is self._served:
            return None
        time.sleep(_OTHERS_HAVE_BEGUN_S)
        self._served = newest
        self._loop.call_soon_threadsafe(self._note, newest)
        return newest.server_configuration()

    def _note(self, tls: Tls) -> None:
        self._log.info("certificate_served", serial=tls.serial, authorities=tls.authorities)
