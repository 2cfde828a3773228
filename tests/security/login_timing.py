"""Whether a stranger can tell by the clock who has an account: ``make login-timing``.

Wrong passwords for a user who is there and for one who is not take turns, each under a
certificate of its own, so that no throttle comes in between. Printed are both medians, their gap
(below 2 % is the goal, OWASP ASVS 6.3.8), and the p value of the Mann-Whitney U test,
below 0.01 of which the two can be told apart. Exit code 1 if either says so.
"""

import argparse
import sys
import tempfile
import time
from math import erfc, sqrt
from pathlib import Path
from statistics import median

from interbank.v1 import payment_pb2

from nodes.core.names import PeerKind
from nodes.gateway.throttle import USER
from nodes.runtime.tls import TlsFiles
from tests.running_nodes import RunningNodes
from tests.security.site import CODE, Site

_USERS = ("bob", "nobody")
_EACH_CERTIFICATE = 8
"""Wrong passwords that one certificate may try at once; see `nodes.gateway.throttle`."""
_P_LEAST = 0.01
_GAP_MOST = 0.02


def measure(site: Site, samples: int) -> dict[str, list[float]]:
    """Return how long each login took in ms, by user."""
    took: dict[str, list[float]] = {user: [] for user in _USERS}
    for number in range(samples):
        files = site.leaf(PeerKind.CLIENT, f"guesser-{number // (_EACH_CERTIFICATE // 2)}")
        # Who comes first changes, and so does who is the first of a certificate, whose handshake comes on top.
        for user in _USERS if (number + number // (_EACH_CERTIFICATE // 2)) % 2 else reversed(_USERS):
            request = payment_pb2.LoginRequest(user=_name(user, number), password="wrong")
            took[user].append(_time_login(site, request, files))
    return took


def _time_login(site: Site, request: payment_pb2.LoginRequest, files: TlsFiles) -> float:
    """Return how long a login took that failed, in ms; waits while too many have failed under its user's name."""
    while True:
        begins = time.perf_counter()
        code = site.call("PaymentService/Login", request, files=files).code
        took_ms = (time.perf_counter() - begins) * 1000
        if code is not CODE.RESOURCE_EXHAUSTED:
            assert code is CODE.UNAUTHENTICATED, code
            return took_ms
        time.sleep(USER.melts_s)


def _name(user: str, number: int) -> str:
    """Spread tries over the users of a kind: the throttle counts them by user, too."""
    known = ("alice", "bob", "charlie", "dave", "eve")
    strangers = ("allie", "rob", "charly", "dana", "even")
    return (known if user == "bob" else strangers)[number % 5]


def mann_whitney_p(first: list[float], second: list[float]) -> float:
    """Return the two-sided p value, by the normal approximation; ties do not occur in times."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    rank_sum = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(first), len(second)
    u = rank_sum - n * (n + 1) / 2
    z = abs(u - n * m / 2) / sqrt(n * m * (n + m + 1) / 12)
    return erfc(z / sqrt(2))


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="Compare logins of known and unknown users by the clock.")
    parser.add_argument("--samples", type=int, default=500, help="of each (500)")
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        nodes = RunningNodes(Path(folder))
        try:
            nodes.start("gateway")
            site = Site(nodes)
            took = measure(site, samples)
            site.close()
        finally:
            nodes.stop()
    known, unknown = (median(took[user]) for user in _USERS)
    gap, p = abs(known - unknown) / known, mann_whitney_p(*took.values())
    print(f"{samples} of each: known {known:.3f} ms, unknown {unknown:.3f} ms, gap {gap:.2%}, p {p:.3f}")
    return 1 if gap > _GAP_MOST or p < _P_LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
