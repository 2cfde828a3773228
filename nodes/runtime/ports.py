"""Whether a node may listen at an address, found out before gRPC tries.

gRPC is content with any one of the addresses that a name stands for: where another
program has 127.0.0.1 it would serve ``localhost`` at ::1 alone, and half of the callers
would meet a stranger. Here all that the name stands for must be free.
"""

import asyncio
import errno
import socket
from typing import Any


class PortUnusable(Exception):
    """The server cannot listen there; the message says where, why and what to do."""


async def demand_free_port(listen: str) -> None:
    """Raise `PortUnusable` unless ``listen`` (host:port) is of this machine, and free at each of its addresses."""
    host, _, port = listen.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PortUnusable(f"cannot listen on {listen}: nobody knows the host {host}; correct its name") from error
    failures = [failure for family, _, _, _, address in found if (failure := _try_bind(family, address, listen))]
    if len(failures) == len(found):
        # Fewer is well: a name may stand for IPv6 on a machine that has none.
        raise PortUnusable(f"cannot listen on {listen}: {failures[0]}; name an address of this machine")


def _try_bind(family: socket.AddressFamily, address: tuple[Any, ...], listen: str) -> str:
    """Return why nobody could listen at ``address``; empty if one can."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As gRPC does: connections of the process before, which linger, do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortUnusable(
                f"cannot listen on {listen}: another process listens on port {address[1]} of {address[0]};"
                " end it, or choose another port"
            ) from error
        return error.strerror or str(error)
    return ""
