"""HTTP/2 by hand (RFC 9113, RFC 7541): what no well-behaved client would send, on one TLS connection.

Just enough to misbehave: frames are written as bytes, headers as literals without
compression, and of what comes back only the frames' types and errors are looked at.
"""

import select
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4
_CANCEL = struct.pack(">I", 8)


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Write one frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """Write one header field, never indexed."""
    return b"\x10" + _text(name) + _text(value)


def call_headers(rpc: str, *more: tuple[str, str]) -> bytes:
    """Write the header fields of a gRPC call."""
    fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", f"/interbank.v1.{rpc}"),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]
    return b"".join(literal(*field) for field in fields)


def reset_streams(first: int, count: int, rpc: str = "PaymentService/Pay") -> bytes:
    """Open ``count`` calls and take each back at once."""
    headers = call_headers(rpc)
    streams = range(first, first + 2 * count, 2)
    return b"".join(
        frame(HEADERS, headers, flags=END_HEADERS, stream=stream) + frame(RST_STREAM, _CANCEL, stream=stream)
        for stream in streams
    )


class RawConnection:
    """One TLS connection that has said the preface; `send` what you like."""

    def __init__(self, line: ssl.SSLSocket, *, timeout_s: float = 10.0) -> None:
        self._line = line
        self._unread = b""
        self._has_ended = False
        line.settimeout(timeout_s)
        line.sendall(PREFACE + frame(SETTINGS))

    def send(self, content: bytes) -> bool:
        """Send; tell whether the other side still takes anything."""
        try:
            self._line.sendall(content)
        except (OSError, ssl.SSLError):
            return False
        return True

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def received(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, payload) of the frames that come, until the other side ends or is silent for 10 s."""
        buffer = b""
        with suppress(TimeoutError):
            while chunk := self._receive():
                buffer += chunk
                while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3])):
                    yield buffer[3], buffer[9:end]
                    buffer = buffer[end:]

    def attend(self) -> bool:
        """Read what has come, and acknowledge settings and pings; tell whether the other side is still there."""
        try:
            while self._line.pending() or select.select([self._line], [], [], 0)[0]:
                chunk = self._line.recv(65536)
                if not chunk:
                    return False
                self._unread += chunk
        except (OSError, ssl.SSLError):
            return False
        while len(self._unread) >= 9 and len(self._unread) >= (end := 9 + int.from_bytes(self._unread[:3])):
            kind, flags, payload = self._unread[3], self._unread[4], self._unread[9:end]
            self._unread = self._unread[end:]
            if kind in (SETTINGS, PING) and not flags & 1:
                self.send(frame(kind, payload if kind == PING else b"", flags=1))
        return True

    def is_answered(self) -> bool:
        """Tell whether the other side ends the call, or all calls."""
        return any(kind in (HEADERS, RST_STREAM, GOAWAY) for kind, _ in self.received())

    def is_sent_away(self) -> bool:
        """Tell whether the other side says GOAWAY, or hangs up."""
        # A hang-up is seen by reading: what is written after it may still be taken, and be lost.
        return any(kind == GOAWAY for kind, _ in self.received()) or self._has_ended

    def _receive(self) -> bytes:
        """Read what comes next; nothing when the other side has hung up, TimeoutError when it is silent."""
        try:
            chunk: bytes = self._line.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            chunk = b""
        self._has_ended = not chunk
        return chunk


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _integer(len(encoded)) + encoded


def _integer(number: int) -> bytes:
    """Write a number with a prefix of seven bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    rest, written = number - 127, bytearray([127])
    while rest >= 128:
        written.append(rest % 128 + 128)
        rest //= 128
    return bytes([*written, rest])
