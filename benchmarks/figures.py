"""What one load gave, the same for whoever was measured."""

from typing import Any, NamedTuple, Self

from orchestrator.benchmark.latencies import Latencies


class Figures(NamedTuple):
    """One measurement."""

    payments_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of the processor for each payment, all processes together, callers included."""

    @classmethod
    def of(cls, latencies: Latencies, measured_s: float, cpu_s: float) -> Self:
        """Return the figures of a load that was measured here."""
        payments = len(latencies) or 1
        return cls(
            len(latencies) / measured_s,
            latencies.percentile_ms(50),
            latencies.percentile_ms(99),
            cpu_s * 1e6 / payments,
        )

    @classmethod
    def read(cls, load: dict[str, Any]) -> Self:
        """Return the figures of a load as `cluster bench -o json` tells it."""
        return cls(
            load["payments_per_s"],
            load["latency_ms"]["p50"],
            load["latency_ms"]["p99"],
            sum(process["cpu_us_per_payment"] for process in load["processes"]),
        )
