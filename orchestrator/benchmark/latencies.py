"""How long things took: counted in buckets, each one percent wider than the last.

A million of them take a few hundred numbers, those of several processes are added up,
and a percentile is right to one percent. The maximum is exact.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

_LEAST_S = 1e-6
_STEP = math.log(1.01)


class Latencies:
    """Durations in seconds; `percentile_ms` once all are in."""

    def __init__(self, counts: Mapping[int, int] | None = None, max_s: float = 0.0) -> None:
        self._counts = Counter(counts or {})
        self._max_s = max_s

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a duration, as often as ``count``."""
        self._counts[math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP)] += count
        self._max_s = max(self._max_s, seconds)

    def merge(self, other: Self) -> None:
        """Add all of another's."""
        self._counts += other._counts
        self._max_s = max(self._max_s, other._max_s)

    def percentile_ms(self, percent: float) -> float:
        """Return what ``percent`` of 100 did not take longer than, in milliseconds; 0 when there are none."""
        wanted = math.ceil(len(self) * percent / 100)
        seen = 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            if seen >= wanted:
                return min(_upper_edge_s(bucket), self._max_s) * 1000
        return 0.0

    @property
    def max_ms(self) -> float:
        """The longest, in milliseconds."""
        return self._max_s * 1000

    def curve(self) -> list[tuple[float, float]]:
        """Return (milliseconds, the share from 0 to 1 that took no longer), rising in both."""
        points, seen = [], 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            points.append((min(_upper_edge_s(bucket), self._max_s) * 1000, seen / len(self)))
        return points

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"counts": sorted(self._counts.items()), "max_s": self._max_s}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(dict(map(tuple, content["counts"])), content["max_s"])


def _upper_edge_s(bucket: int) -> float:
    return _LEAST_S * math.exp(bucket * _STEP)
