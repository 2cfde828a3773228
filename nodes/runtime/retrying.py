"""How long to wait before the next try, when some have failed in a row."""

_DOUBLINGS_MAX = 10
"""Beyond that the wait is at its longest; 2 to the power of all failures of a day has no place in a float."""


def double_wait(first_s: float, failures: int, longest_s: float) -> float:
    """Return ``first_s``, doubled for each failure, ``longest_s`` at most."""
    return min(longest_s, first_s * 2.0 ** min(failures, _DOUBLINGS_MAX))
