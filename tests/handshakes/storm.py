"""The storm itself: callers in threads, and the one who replaces the files."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles
from tests.authority import Authority

_CALLERS = 4
_WITHIN_S = 20.0


@dataclass
class Storm:
    """How it went: serials by how often they were shown, what failed, and how often the files were replaced."""

    served: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    replacements: int = 0
    exit_code: int | None = None

    @property
    def handshakes(self) -> int:
        return self.served.total()


def run_storm(folder: Path, *, handshakes: int, replaced_every_s: float) -> Storm:
    """Shake hands so often while the server's certificate is replaced; return how it went."""
    authority = Authority(folder)
    identity = authority.identity(PeerKind.GATEWAY)
    files = authority.leaf(identity)
    client = authority.leaf(authority.identity(PeerKind.CLIENT, "shell"))
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.handshakes.server", *map(str, files.paths)],
        stdout=subprocess.PIPE,
        text=True,
    )
    storm, ends = Storm(), threading.Event()
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        callers = [
            threading.Thread(target=_call, args=(storm, client, port, handshakes, ends)) for _ in range(_CALLERS)
        ]
        for caller in callers:
            caller.start()
        while not ends.wait(replaced_every_s) and server.poll() is None:
            authority.replace_leaf(identity, files)
            storm.replacements += 1
        ends.set()
        for caller in callers:
            caller.join(_WITHIN_S)
        storm.exit_code = server.poll()
    finally:
        ends.set()
        server.kill()
        server.communicate()
    return storm


def _call(storm: Storm, client: TlsFiles, port: int, handshakes: int, ends: threading.Event) -> None:
    context = ssl.create_default_context(cafile=str(client.ca))
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    while not ends.is_set():
        try:
            storm.served[shake_hands(context, port)] += 1
        except OSError as error:
            storm.failures.append(f"{time.monotonic():.3f} {error}")
            time.sleep(0.01)
        if storm.handshakes >= handshakes or len(storm.failures) > 100:
            ends.set()


def shake_hands(context: ssl.SSLContext, port: int) -> str:
    """Return the serial that the server shows, once it has taken ours, too."""
    with socket.create_connection(("localhost", port), timeout=_WITHIN_S) as plain:
        # Closed at once with a reset: tens of thousands of ports that linger would be too many.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        with context.wrap_socket(plain, server_hostname="localhost") as line:
            shown = line.getpeercert(binary_form=True)
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            if not line.recv(9):
                raise ConnectionError("the server hung up")
            assert shown is not None
            return f"{x509.load_der_x509_certificate(shown).serial_number:x}"
