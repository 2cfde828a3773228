"""Whether an address can be listened on, and who is in the way if not."""

import errno
import socket

import psutil


def find_trouble(address: str) -> str | None:
    """Return why nothing can listen on ``host:port`` now, or None if it can be."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return f"{host} is not a known host: {error.strerror}"
    for family, kind, protocol, _, where in found:
        trouble = _try_to_bind(socket.socket(family, kind, protocol), where)
        if trouble is not None:
            return trouble
    return None


def _try_to_bind(listener: socket.socket, where: tuple[object, ...]) -> str | None:
    with listener:
        # As the nodes do it: connections of the last run that are not yet forgotten are no trouble.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(where)
            listener.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {where[1]} is in use{_name_holder(int(str(where[1])))}"
            # A machine without IPv6 resolves localhost to ::1 all the same.
            return None if error.errno == errno.EADDRNOTAVAIL else f"port {where[1]}: {error.strerror}"
    return None


def _name_holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            is_at_port = connection.laddr and connection.laddr.port == port
            if is_at_port and connection.status == psutil.CONN_LISTEN and connection.pid:
                process = psutil.Process(connection.pid)
                return f" by process {process.pid} ({' '.join(process.cmdline()[:4])[:80] or process.name()})"
    except psutil.Error:
        pass
    return " by a process of another user"


def find_free_ports(count: int) -> list[int]:
    """Return ports of localhost that nobody listens at now, all different."""
    held = [socket.socket() for _ in range(count)]
    for listener in held:
        listener.bind(("127.0.0.1", 0))
    ports = [int(listener.getsockname()[1]) for listener in held]
    for listener in held:
        listener.close()
    return ports
