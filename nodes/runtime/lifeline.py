"""A node ends when whoever started it is gone, however that came about.

Two ropes, since each has a gap: the kernel's parent-death signal (Linux only, and it
goes by the thread that started the node), and a pipe whose other end the starter alone
holds, which ends when the starter does.
"""

import argparse
import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def end_with_parent(lifeline_fd: int | None) -> None:
    """Tie this process to its parent. Call it first thing, in the main thread."""
    if lifeline_fd is None:
        return
    os.set_inheritable(lifeline_fd, False)
    os.set_blocking(lifeline_fd, True)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    threading.Thread(target=_end_at_eof, args=(lifeline_fd,), daemon=True, name="lifeline").start()


def _end_at_eof(lifeline_fd: int) -> None:
    with suppress(OSError):  # a rope that cannot be held is no rope
        while os.read(lifeline_fd, 1):
            pass
    os._exit(0)


def parse_descriptor(text: str) -> int:
    """Return the number of a descriptor that was left open for this process."""
    try:
        os.fstat(int(text))
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a descriptor that the starter left open") from None
    return int(text)
