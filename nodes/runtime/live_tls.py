"""A node's certificate while it runs: what lies on disk is taken without a restart.

Who serves or calls with it is told of each new one: servers take it for the next
handshake (`nodes.runtime.server`), callers open a new channel, since a channel keeps the
certificate that it was made with (grpc#41779). What is connected stays connected, unless its
certificate was revoked, or has expired, or it is no client's and its authority is trusted no more.
"""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from nodes.runtime.crash_points import reach
from nodes.runtime.file_watch import FileWatch
from nodes.runtime.tls import CertificateUnusable, Tls, load_again


class LiveTls:
    """The newest usable certificate of a node, in ``current``."""

    def __init__(self, tls: Tls, log: FilteringBoundLogger) -> None:
        self.current = tls
        self._log = log
        self._listeners: list[Callable[[Tls], None]] = []

    def watch(self, watch: FileWatch) -> None:
        """Have the files looked at."""
        watch.add(self._reread, CertificateUnusable, *self.current.files.paths)

    def on_change(self, listener: Callable[[Tls], None]) -> None:
        """Call ``listener`` with each new certificate, and when others are trusted than before."""
        self._listeners.append(listener)

    def _reread(self) -> None:
        tls = load_again(self.current)
        if tls == self.current:
            return
        reach("node.certificate.untaken")
        self.current = tls
        self._log.info(
            "certificate_taken",
            serial=tls.serial,
            until=tls.not_after,
            authorities=tls.authorities,
            revoked=[identity.path for identity in tls.revoked],
        )
        for listener in self._listeners:
            listener(tls)
