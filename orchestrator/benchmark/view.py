"""What was measured, as a table for people and as JSON for programs."""

from collections.abc import Sequence
from typing import Any

from orchestrator.benchmark.measuring import Result
from orchestrator.benchmark.meter import Cost
from orchestrator.console.text_table import format_columns

_SLOT_S = 0.1
_MB = 2**20
_HEADINGS = (
    "LOAD", "PAYMENTS/S", "P50 MS", "P95 MS", "P99 MS", "MAX MS",
    "CPU US: GATEWAY", "BANKS", "CALLERS", "MB: GATEWAY", "BANK", "FSYNCS/S", "AUDIT",
)  # fmt: skip
_PROCESS_HEADINGS = ("PROCESS", "CPU US/PAYMENT", "CPU", "MB", "FSYNCS", "PAYMENTS/FSYNC", "BYTES/PAYMENT")


def format_table(results: Sequence[Result], *, is_wide: bool) -> list[str]:
    """Return a line for each load, below them what was not committed; if wide, each process of each load."""
    lines = format_columns([_HEADINGS, *map(_format_result, results)])
    lines += [line for result in results for line in _describe_others(result)]
    if is_wide:
        for result in results:
            lines += ["", *_format_processes(result)]
    return lines


def make_document(results: Sequence[Result], machine: dict[str, Any]) -> dict[str, Any]:
    """Return all that was measured as plain values."""
    return {"machine": machine, "loads": [_make_entry(result) for result in results]}


def _format_result(result: Result) -> tuple[str, ...]:
    latencies = result.tally.latencies
    return (
        result.load.title,
        f"{result.payments_per_s:,.0f}",
        *(f"{latencies.percentile_ms(percent):.1f}" for percent in (50, 95, 99)),
        f"{latencies.max_ms:.1f}",
        *(f"{result.cpu_us_per_payment(role):.1f}" for role in ("gateway", "bank", "generator")),
        *(f"{_largest_rss_bytes(result, role) / _MB:.0f}" for role in ("gateway", "bank")),
        f"{sum(cost.commits for cost in result.costs) / result.tally.measured_s:,.0f}",
        "clean" if not result.faults else "FAILED",
    )


def _largest_rss_bytes(result: Result, role: str) -> int:
    return max(cost.rss_bytes for cost in result.costs if cost.role == role)


def _describe_others(result: Result) -> list[str]:
    others = [f"{result.load.title}: {count:,} {outcome}" for outcome, count in result.not_committed.items()]
    return others + [f"{result.load.title}: {fault}" for fault in result.faults]


def _format_processes(result: Result) -> list[str]:
    rows = [_PROCESS_HEADINGS, *(_format_cost(cost, result) for cost in result.costs)]
    return [result.load.title, *format_columns(rows)]


def _format_cost(cost: Cost, result: Result) -> tuple[str, ...]:
    payments = result.payments or 1
    return (
        cost.name,
        f"{cost.cpu_s * 1e6 / payments:.1f}",
        f"{cost.cpu_s / result.tally.measured_s:.0%}",
        f"{cost.rss_bytes / _MB:.0f}",
        f"{cost.commits:,}" if cost.role != "generator" else "-",
        f"{payments / cost.commits:.1f}" if cost.commits else "-",
        f"{cost.written_bytes / payments:,.0f}",
    )


def _make_entry(result: Result) -> dict[str, Any]:
    load, latencies = result.load, result.tally.latencies
    return {
        "load": load.name,
        "title": load.title,
        "call": load.call.value,
        "callers": load.callers,
        "batch": load.batch,
        "banks": load.banks,
        "payees": load.payees,
        "history": load.history,
        "measured_s": round(result.tally.measured_s, 3),
        "payments": result.payments,
        "payments_per_s": round(result.payments_per_s, 1),
        "latency_ms": {
            **{f"p{percent}": round(latencies.percentile_ms(percent), 3) for percent in (50, 95, 99)},
            "max": round(latencies.max_ms, 3),
        },
        "not_committed": result.not_committed,
        "processes": [_make_process(cost, result) for cost in result.costs],
        "audit": {"is_clean": not result.faults, "faults": result.faults},
        "latency_curve_ms": [(round(ms, 3), round(share, 5)) for ms, share in latencies.curve()],
        "payments_by_tenth_of_second": [result.tally.timeline[slot] for slot in range(_slots(result))],
    }


def _make_process(cost: Cost, result: Result) -> dict[str, Any]:
    return {
        "name": cost.name,
        "role": cost.role,
        "cpu_us_per_payment": round(cost.cpu_s * 1e6 / (result.payments or 1), 2),
        "rss_bytes": cost.rss_bytes,
        "fsyncs": cost.commits,
        "written_bytes": cost.written_bytes,
    }


def _slots(result: Result) -> int:
    return int(result.tally.measured_s / _SLOT_S)
