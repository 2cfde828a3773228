"""Figures of a campaign, from its histories and deeds alone: what the report shows and scripts compare."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.campaign.history import COMMITTED, DECLINED, OUTCOMES, UNKNOWN, Attempt, Look
from orchestrator.campaign.nemesis import Deed
from orchestrator.campaign.schedule import KILL_KINDS

_BIN_MIN_S = 0.5
_BINS_MAX = 300


@dataclass(frozen=True, slots=True)
class Bin:
    """What ended within one span: counts, and latencies of what committed, in ms (0 if nothing did)."""

    at_s: float
    committed: int
    declined: int
    unknown: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after a deed the first payment with its victim was sent and committed; None: never."""

    kind: str
    target: str
    at_s: float
    took_s: float | None
    is_alone: bool
    """Whether no other fault was active meanwhile."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a campaign."""

    lasted_s: float
    committed: int
    declined: int
    replayed: int
    unknown: int
    """Attempts without an answer."""
    settled: int
    """Payments that were unknown at some time, and whose outcome was told later."""
    declines: dict[str, int]
    deeds: dict[str, int]
    undone: int
    bins: list[Bin]
    recoveries: list[Recovery]
    p50_ms: float
    p99_ms: float

    @property
    def acknowledged(self) -> int:
        """Payments whose outcome a client was told."""
        return self.committed + self.declined

    @property
    def recovery_s(self) -> list[float]:
        """How long recoveries took that no other fault was in the way of, shortest first."""
        return sorted(each.took_s for each in self.recoveries if each.took_s is not None and each.is_alone)


def compute(lines: Iterable[Attempt | Look], deeds: Sequence[Deed], lasted_s: float) -> Figures:
    """Return the figures of what was written down."""
    attempts = sorted(
        (line for line in lines if isinstance(line, Attempt) and not line.is_mutated),
        key=lambda each: each.ended_s,
    )
    first: dict[tuple[str, str], Attempt] = {}
    unknown: set[tuple[str, str]] = set()
    for attempt in attempts:
        key = attempt.request.user, attempt.request.payment_id
        if attempt.outcome in OUTCOMES:
            first.setdefault(key, attempt)
        elif attempt.outcome == UNKNOWN:
            unknown.add(key)
    outcomes = Counter(attempt.outcome for attempt in first.values())
    latencies = sorted((each.ended_s - each.sent_s) * 1000 for each in attempts if each.outcome == COMMITTED)
    done = [deed for deed in deeds if not deed.failure]
    return Figures(
        lasted_s=lasted_s,
        committed=outcomes[COMMITTED],
        declined=outcomes[DECLINED],
        replayed=sum(each.outcome in OUTCOMES for each in attempts) - len(first),
        unknown=sum(each.outcome == UNKNOWN for each in attempts),
        settled=len(unknown & first.keys()),
        declines=dict(Counter(each.detail for each in first.values() if each.outcome == DECLINED).most_common()),
        deeds=dict(Counter(deed.step.kind for deed in done).most_common()),
        undone=len(deeds) - len(done),
        bins=_make_bins(attempts, lasted_s),
        recoveries=find_recoveries(attempts, done),
        p50_ms=percentile(latencies, 0.50),
        p99_ms=percentile(latencies, 0.99),
    )


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return the value that a fraction of the ordered values does not pass; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else 0.0


def find_recoveries(attempts: Sequence[Attempt], deeds: Sequence[Deed]) -> list[Recovery]:
    """Return how long each killed or restarted node was away, as its payers saw it."""
    committed = [each for each in attempts if each.outcome == COMMITTED]
    committed.sort(key=lambda each: each.sent_s)
    sent_s = [each.sent_s for each in committed]
    recoveries = []
    for deed in deeds:
        if deed.step.kind not in KILL_KINDS or deed.step.kind == "kill-client":
            continue
        target = deed.step.target
        later = committed[bisect_left(sent_s, deed.struck_s) :]
        with_it = [each.ended_s for each in later if target in ("", "gateway") or target in _banks(each)]
        took_s = round(min(with_it) - deed.struck_s, 3) if with_it else None
        until_s = deed.struck_s + (took_s or 0.0)
        others = (
            other
            for other in deeds
            if other is not deed and other.began_s < until_s and other.ended_s > deed.began_s
        )
        is_alone = all(other.step.kind == "kill-client" for other in others)
        recoveries.append(Recovery(deed.step.kind, target, round(deed.began_s, 3), took_s, is_alone))
    return recoveries


def _banks(attempt: Attempt) -> tuple[str, str]:
    return attempt.request.payer.partition("@")[2], attempt.request.payee.partition("@")[2]


def _make_bins(attempts: Iterable[Attempt], lasted_s: float) -> list[Bin]:
    bin_s = max(_BIN_MIN_S, lasted_s / _BINS_MAX)
    counts: list[Counter[str]] = [Counter() for _ in range(int(lasted_s / bin_s) + 1)]
    latencies: list[list[float]] = [[] for _ in counts]
    for attempt in attempts:
        index = int(attempt.ended_s / bin_s)
        if 0 <= index < len(counts):
            counts[index][attempt.outcome] += 1
            if attempt.outcome == COMMITTED:
                latencies[index].append((attempt.ended_s - attempt.sent_s) * 1000)
    return [
        Bin(
            index * bin_s,
            count[COMMITTED],
            count[DECLINED],
            count[UNKNOWN],
            percentile(sorted(latencies[index]), 0.50),
            percentile(sorted(latencies[index]), 0.99),
        )
        for index, count in enumerate(counts)
    ]
