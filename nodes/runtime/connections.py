"""Cuts off connections of this process that gRPC would keep: it can refuse calls, but hang up on nobody.

A connection is found by the address at its other end, among the descriptors of this process. It is not
closed at once, which would only have its holder connect anew: the kernel is told to drop whatever
comes in on it (a socket filter, socket(7)), so that it looks like a line that has gone dead, and costs
nothing. Some seconds later it is reset, and gRPC finds it closed.
"""

import asyncio
import ctypes
import math
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

SILENT_S = 10.0
"""How long a connection stays dead before it is reset."""
_GATHERED_MIN_S = 0.005
_LOOKS_ONE_IN = 20
"""Connections that are to be cut are gathered: finding them means to look at all descriptors, and may take no more
than this part of the time."""
_TELL_EVERY_S = 1.0
_SO_ATTACH_FILTER = 26
INSTRUCTION = struct.Struct("HBBI")
_RETURN_NOTHING = INSTRUCTION.pack(0x06, 0, 0, 0)
"""A classic BPF program of one instruction: of each segment zero bytes are kept."""
_HANG_UP_AT_ONCE = struct.pack("ii", 1, 0)

Address = tuple[str, int]
T = TypeVar("T")


class Cutter:
    """Cuts connections off. For one event loop. ``report`` is told how many were cut, once a second at most."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._untold = 0
        self._told_at = -math.inf
        self._wanted: set[Address] = set()
        self._gathered_s = _GATHERED_MIN_S
        self._silent: dict[Address, socket.socket] = {}

    def cut(self, address: Address) -> None:
        """Cut the connection whose other end has ``address`` (`parse_peer`), within a moment."""
        if address in self._silent:
            return
        if not self._wanted:
            asyncio.get_running_loop().call_later(self._gathered_s, self._cut_all)
        self._wanted.add(address)

    def close(self) -> None:
        """Reset at once what is dead, and cut nothing more."""
        self._wanted.clear()
        self._reset(list(self._silent))

    def _cut_all(self) -> None:
        wanted, self._wanted = self._wanted, set()
        begins_s = time.perf_counter()
        silenced = {address: line for address, line in find_lines(wanted) if _silence(line)}
        self._gathered_s = max(_GATHERED_MIN_S, _LOOKS_ONE_IN * (time.perf_counter() - begins_s))
        self._silent |= silenced
        loop = asyncio.get_running_loop()
        loop.call_later(SILENT_S, self._reset, list(silenced))
        self._untold += len(silenced)
        if self._untold and loop.time() - self._told_at >= _TELL_EVERY_S:
            self._report(self._untold)
            self._untold, self._told_at = 0, loop.time()

    def _reset(self, addresses: Iterable[Address]) -> None:
        for line in (self._silent.pop(address) for address in addresses if address in self._silent):
            with line, suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HANG_UP_AT_ONCE)
                line.shutdown(socket.SHUT_RDWR)


def parse_peer(peer: str) -> Address | None:
    """Return host and port of ``ipv4:127.0.0.1:50051`` or ``ipv6:%5B::1%5D:50051``; None if it is neither."""
    kind, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return host.strip("[]"), int(port)


def find_lines(addresses: Iterable[Address]) -> Iterator[tuple[Address, socket.socket]]:
    """Yield the connections whose other end is one of these, each as a socket of its own for the same line."""
    wanted = set(addresses)

    def tell_wanted(line: socket.socket) -> Address | None:
        address = _other_end(line)
        return address if address in wanted else None

    for address, line in find_sockets(tell_wanted):
        # What is held now may have a number that the list has as well: the one it was read with.
        wanted.remove(address)
        yield address, line


def find_sockets(tell: Callable[[socket.socket], T | None]) -> Iterator[tuple[T, socket.socket]]:
    """Yield what ``tell`` tells of each socket of this process, if anything, and one of its own for the same."""
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        told = _look_at(descriptor, tell)
        line = None if told is None else _hold(descriptor)
        if told is None or line is None:
            continue
        # Meanwhile gRPC may have closed it, and the number be another's.
        if tell(line) == told:
            yield told, line
        else:
            line.close()


def _look_at(descriptor: int, tell: Callable[[socket.socket], T]) -> T | None:
    """Return what ``tell`` tells of a socket, without holding it; None if the descriptor is none."""
    try:
        line = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        return tell(line)
    finally:
        line.detach()


def _hold(descriptor: int) -> socket.socket | None:
    """Return a socket for what a descriptor means now; it stays that line whatever gRPC closes.

    What is no socket any more is left open: to close a second descriptor of a database would give
    up its lock.
    """
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None


def _other_end(line: socket.socket) -> Address | None:
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = line.getpeername()[:2]
    except OSError:
        return None
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address), port


def attach(line: socket.socket, program: bytes) -> None:
    """Have a program decide what is dropped of what comes in on a socket; OSError if the kernel will not."""
    kept = ctypes.create_string_buffer(program, len(program))
    count = len(program) // INSTRUCTION.size
    line.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", count, ctypes.addressof(kept)))


def _silence(line: socket.socket) -> bool:
    try:
        attach(line, _RETURN_NOTHING)
    except OSError:
        line.close()
        return False
    return True
