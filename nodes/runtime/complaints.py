"""What a process says on stderr, for whoever started it: as far as it can be said.

Stderr is a file on the disk of the databases. When that is full, saying so fails, too; and
that must neither keep a process from ending nor end one that would go on.
"""

import os
from contextlib import suppress

_STDERR = 2


def complain(text: str) -> None:
    """Say a line; nothing is kept back, so that nothing is left to fail at the end of the process."""
    with suppress(OSError):
        os.write(_STDERR, f"{text}\n".encode())
