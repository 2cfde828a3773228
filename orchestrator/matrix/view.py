"""The table of the matrix, row by row as it comes, and its last lines."""

from collections.abc import Sequence
from typing import Any

import click

from orchestrator.chaos.crash_registry import POINTS
from orchestrator.matrix.cells import Row

_POINT_WIDTH = max(len(point.name) for point in POINTS)
_HEAD = (
    f"{'POINT':<{_POINT_WIDTH}}",
    "PROCESS   ",
    "ACTION           ",
    "HIT",
    "BACK AFTER",
    "MONEY",
    "IN DOUBT",
    "TOLD",
)


def show_head() -> None:
    """Print the head of the table."""
    click.echo("  ".join(_HEAD))


def show_row(row: Row) -> None:
    """Print one row, and a line for each thing that is wrong with it."""
    after = "-" if row.recovered_after_s is None else f"{row.recovered_after_s:.2f} s"
    cells = (
        row.crash.point.name,
        row.crash.process,
        row.crash.action,
        "yes" if row.is_hit else "NO",
        after,
        _tell(row, row.money, "wrong"),
        _tell(row, row.in_doubt, "some"),
        _tell(row, row.told, "LIES"),
    )
    line = "  ".join(f"{cell:<{len(head)}}" for cell, head in zip(cells, _HEAD, strict=True)).rstrip()
    click.echo(line if row.is_good else click.style(line, fg="red"))
    for fault in row.faults:
        click.echo(f"    {fault}")


def _tell(row: Row, faults: Sequence[str], word: str) -> str:
    if row.recovered_after_s is None:
        return "-"
    return word if faults else "ok"


def summarise(rows: Sequence[Row], findings: Sequence[str], told: int) -> str:
    """Return the last line: how many of how many are good, and how quick."""
    good = sum(row.is_good for row in rows)
    afters_s = sorted(row.recovered_after_s for row in rows if row.recovered_after_s is not None)
    quick = (
        f"; back after {afters_s[len(afters_s) // 2]:.2f} s at the median, {afters_s[-1]:.2f} s at most"
        if afters_s
        else ""
    )
    points = len({row.crash.point.name for row in rows if row.is_hit})
    audit = "the files of all nodes agree" if told else "nobody paid, so no files were compared"
    if findings:
        audit = f"THE FILES DO NOT AGREE ({len(findings)} findings)"
    return (
        f"{good} of {len(rows)} crashes well survived, at {points} points{quick}; {told:,} outcomes told; {audit}"
    )


def make_document(rows: Sequence[Row], findings: Sequence[str], seed: int) -> dict[str, Any]:
    """Return all of it for programs."""
    return {
        "seed": seed,
        "is_good": all(row.is_good for row in rows) and not findings,
        "rows": [
            {
                "point": row.crash.point.name,
                "process": row.crash.process,
                "action": row.crash.action,
                "hit": row.crash.hit,
                "is_hit": row.is_hit,
                "recovered_after_s": row.recovered_after_s,
                "faults": list(row.faults),
            }
            for row in rows
        ],
        "findings": list(findings),
    }
