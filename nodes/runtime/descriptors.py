"""How many connections a node may hold, so that it always has descriptors left for its own files.

Whoever opens connections without end, which needs no certificate, is stopped at this
number; those who are connected already do not notice.
"""

import resource

_CONNECTIONS_MAX = 4096
_OWN_FILES = 128
"""Database, logs, the lines to banks, and to spare."""


def count_connection_places() -> int:
    """Let this process open as many files as it may, and return how many connections it can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS_MAX + _OWN_FILES
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(_CONNECTIONS_MAX, soft - _OWN_FILES))
