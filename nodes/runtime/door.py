"""Shuts a port for a moment to addresses that somebody who is cut off keeps coming from, each time anew.

gRPC learns whose a connection is in the handshake, and tells once a call on it has come up: until then each
new connection costs a handshake and brings a burst of calls. So the kernel is told to drop what would begin
a connection from there (a socket filter on the listening socket, socket(7)). What is connected stays connected,
and whoever else is at the same address gets in some seconds later, when TCP has tried again.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

from nodes.runtime.connections import INSTRUCTION, Address, attach, find_sockets
from nodes.runtime.debts import Debts

SHUT_S = 3.0
_COMES_MAX = 10.0
_FORGOTTEN_EACH_S = 0.5
_HOSTS_MAX = 64
_LINES_MAX = 5000

_SO_DETACH_FILTER = 27

_LOAD_WORD, _LOAD_BYTE, _AND, _JUMP, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x30, 0x54, 0x05, 0x15, 0x06
_ALL = 0xFFFFFFFF
_TCP_FLAGS, _SYN, _ACK = 13, 0x02, 0x10
_NETWORK_HEADER = 0xFFF00000
"""What a filter on a TCP socket is shown begins with TCP's header; IP's is found here (SKF_NET_OFF)."""
_SOURCE_4, _SOURCE_6 = _NETWORK_HEADER + 12, _NETWORK_HEADER + 8


class Newcomers:
    """Counts the connections that certificates which are cut off come on, by host. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._comes = Debts(clock, debtors_max=_HOSTS_MAX)
        self._lines: dict[Address, None] = {}

    def came(self, address: Address) -> bool:
        """Note who has come; tell whether a new connection from there has been one too many."""
        if address in self._lines:
            return False
        self._lines[address] = None
        if len(self._lines) > _LINES_MAX:
            del self._lines[next(iter(self._lines))]
        comes = self._comes.charge(address[0], melts_each_s=_FORGOTTEN_EACH_S)
        self._comes.keep(address[0], comes)
        return comes > _COMES_MAX

    def distrust(self, host: str) -> None:
        """Let no more than one connection count from now on before it is one too many; that melts as ever.

        What came before was let in before: it is counted no more.
        """
        self._comes.keep(host, _COMES_MAX - 1)


class Door:
    """The port of one server. For one event loop. ``report`` is told each host that it is shut to."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.port = 0
        self._report = report
        self._newcomers = Newcomers(time.monotonic)
        self._shut_to: set[str] = set()

    def came(self, address: Address) -> None:
        """Note that somebody who is cut off has come from there; shut it to that host if that is too often."""
        host = address[0]
        if not self._newcomers.came(address) or host in self._shut_to or len(self._shut_to) >= _HOSTS_MAX:
            return
        self._shut_to.add(host)
        if self._filter():
            self._report(host)
        asyncio.get_running_loop().call_later(SHUT_S, self._open_to, host)

    def _open_to(self, host: str) -> None:
        self._newcomers.distrust(host)
        self._shut_to.discard(host)
        self._filter()

    def _filter(self) -> bool:
        """Have the kernel drop what begins connections from hosts that this is shut to; tell whether it does."""
        program = write_filter(self._shut_to)
        does = False
        for line in find_listeners(self.port):
            with line, suppress(OSError):
                if self._shut_to:
                    attach(line, program)
                    does = True
                else:
                    line.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        return does


def find_listeners(port: int) -> Iterator[socket.socket]:
    """Return the sockets of this process that listen on a port, each as one of its own, to be closed at once."""
    return (line for _, line in find_sockets(lambda line: _listens_on(line, port) or None))


def write_filter(hosts: Iterable[str]) -> bytes:
    """Write a classic BPF program that drops the segments which begin a connection from one of ``hosts``."""
    addresses = [ip_address(host) for host in sorted(hosts)]
    of_4 = [instruction for each in addresses if each.version == 4 for instruction in _drop_if(_SOURCE_4, each)]
    of_6 = [instruction for each in addresses if each.version == 6 for instruction in _drop_if(_SOURCE_6, each)]
    keep = _instruction(_RETURN, _ALL)
    return b"".join(
        [
            _instruction(_LOAD_BYTE, _TCP_FLAGS),
            _instruction(_AND, _SYN | _ACK),
            _instruction(_JUMP_IF_EQUAL, _SYN, then=1),
            keep,
            _instruction(_LOAD_BYTE, _NETWORK_HEADER),
            _instruction(_AND, 0xF0),
            _instruction(_JUMP_IF_EQUAL, 0x40, then=1),
            _instruction(_JUMP, len(of_4) + 1),
            *of_4,
            keep,
            *of_6,
            keep,
        ]
    )


def _drop_if(source: int, address: IPv4Address | IPv6Address) -> list[bytes]:
    """Write: return nothing if the packet comes from ``address``, else go on behind this."""
    words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
    length = 2 * len(words) + 1
    written: list[bytes] = []
    for number, word in enumerate(words):
        written.append(_instruction(_LOAD_WORD, source + 4 * number))
        written.append(_instruction(_JUMP_IF_EQUAL, word, otherwise=length - len(written) - 1))
    return [*written, _instruction(_RETURN, 0)]


def _instruction(code: int, constant: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return INSTRUCTION.pack(code, then, otherwise, constant)


def _listens_on(line: socket.socket, port: int) -> bool:
    try:
        is_listening = line.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(is_listening) and line.getsockname()[1] == port
    except (OSError, IndexError):
        return False
