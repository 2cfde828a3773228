"""What a generator is told, and what it tells: plain values that travel as JSON."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from orchestrator.benchmark.latencies import Latencies
from orchestrator.benchmark.loads import Call

READY, MEASURING, MEASURED = "ready", "measuring", "measured"
"""What a generator says on its way: logged in, warm, at the end of its time. Its last line is its `Tally`."""
COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Order:
    """Whom to call as whom, how, for how long."""

    address: str
    ca: str
    certificate: str
    key: str
    payers: list[str]
    payees: int
    """Drawn from so many; 0: each payer pays between their own accounts."""
    banks: list[str]
    password: str = field(repr=False)
    call: Call
    callers: int
    batch: int
    currency: str
    warm_up_s: float
    for_s: float

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return what `to_json` wrote."""
        content = json.loads(line)
        return cls(**{**content, "call": Call(content["call"])})


@dataclass(slots=True)
class Tally:
    """What came of the payments of one generator, or of all."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """How many ended how, warm-up and end included: ``committed``, ``declined: ...``, ``failed: ...``."""
    latencies: Latencies = field(default_factory=Latencies)
    """Of those that were committed within the time that counts."""
    timeline: Counter[int] = field(default_factory=Counter)
    """How many of these in each tenth of a second."""
    measured_s: float = 0.0

    def merge(self, other: "Tally") -> None:
        """Add those of another generator that paid at the same time."""
        self.outcomes += other.outcomes
        self.latencies.merge(other.latencies)
        self.timeline += other.timeline
        self.measured_s = max(self.measured_s, other.measured_s)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "outcomes": dict(self.outcomes),
            "latencies": self.latencies.to_json(),
            "timeline": sorted(self.timeline.items()),
            "measured_s": self.measured_s,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            Counter(content["outcomes"]),
            Latencies.from_json(content["latencies"]),
            Counter(dict(map(tuple, content["timeline"]))),
            content["measured_s"],
        )
