"""Handshakes that failed, as lines of the log: gRPC tells Python nothing of them, and prints each on stderr.

So a node reads what it has printed itself, from the file that its starter has given it for that,
and leaves one line a second at most, with how many there were and why. Who it was is not
among what gRPC prints. If stderr is no file, as in a terminal, its reader sees gRPC's own words.
"""

import asyncio
import os
import re
import stat
from collections import Counter
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

_LOOK_EVERY_S = 1.0
_READ_MAX = 1024 * 1024
_FAILED = re.compile(
    rb"Handshake failed with error [^\n]*?OPENSSL_internal:"
    rb"(?P<error>[A-Z0-9_]{1,80})(: (?P<detail>[a-z ]{1,80})\n)?"
)
"""A certificate that fails a check is told about in a few words of OpenSSL's own; nothing in it is the peer's."""


class FailedHandshakes:
    """Those of one process, told to ``log``."""

    def __init__(self, log: FilteringBoundLogger, descriptor: int = 2) -> None:
        self._log = log
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._is_file = stat.S_ISREG(found.st_mode)
        self._read_to = found.st_size

    async def run(self) -> None:
        """Look once a second, until cancelled; return at once if stderr is no file."""
        while self._is_file:
            await asyncio.sleep(_LOOK_EVERY_S)
            # What cannot be read just now is no reason to end a node.
            with suppress(OSError):
                self.look()

    def look(self) -> None:
        """Tell of those since the last look."""
        reasons = Counter(map(_explain, _FAILED.finditer(self._read_new())))
        if reasons:
            self._log.warning("handshakes_failed", count=reasons.total(), reasons=dict(reasons.most_common()))

    def _read_new(self) -> bytes:
        size = os.fstat(self._descriptor).st_size
        begins, self._read_to = self._read_to, size
        if size <= begins:
            return b""  # or it was cut short, and some of it is gone
        file = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            begins = max(begins, size - _READ_MAX)
            content = os.pread(file, size - begins, begins)
        finally:
            os.close(file)
        # The rest of a line that is being written is for the next look.
        whole = content[: content.rfind(b"\n") + 1]
        self._read_to = begins + len(whole)
        return whole


def _explain(found: re.Match[bytes]) -> str:
    """Return OpenSSL's name of an error, and what was wrong with the certificate if that is it."""
    error, detail = found["error"].decode(), (found["detail"] or b"").decode()
    return f"{error}: {detail}" if detail else error
