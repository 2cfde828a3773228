"""The table of `status` on a terminal, in a pipe, or as JSON; plain text, so that it is quick."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from orchestrator.inspection.status import days_left, exit_code, hint, list_warnings, make_rows, summarise

_COLUMNS = ("name", "role", "state", "health", "pid", "port", "uptime", "restarts", "cpu", "rss", "cert", "info")
_WIDE = ("address", "version")
_STATE_COLOURS = {
    "RUNNING": "green", "SERVING": "green", "STARTING": "cyan", "STOPPING": "cyan", "NOT_SERVING": "yellow",
    "BACKOFF": "yellow", "EXITED": "yellow", "FATAL": "red", "DOWN": "red",
}  # fmt: skip
_GAP = "  "


def show_status(nodes: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print the nodes as ``table``, ``wide`` or ``json``."""
    if output == "json":
        click.echo(json.dumps(_make_document(nodes), indent=2))
        return
    for line in format_table(nodes, is_wide=output == "wide"):
        click.echo(line)


def format_table(nodes: Sequence[Mapping[str, Any]], *, is_wide: bool = False) -> list[str]:
    """Return the lines of the table, coloured, with the summary and the hint last."""
    rows = [
        {**asdict(row), **{name: str(node.get(name) or "-") for name in _WIDE}}
        for row, node in zip(make_rows(nodes), nodes, strict=True)
    ]
    names = [*_COLUMNS[:-1], *(_WIDE if is_wide else ()), "info"]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = [_GAP.join(f"{name.upper():<{widths[name]}}" for name in names).rstrip()]
    lines += [_GAP.join(_paint(row[name], widths[name]) for name in names).rstrip() for row in rows]
    lines += [click.style(f"! {warning}", fg="yellow") for warning in list_warnings(nodes)]
    return [*lines, _format_last_line(nodes, len(lines[0]))]


def _paint(text: str, width: int) -> str:
    padded = f"{text:<{width}}"
    return click.style(padded, fg=_STATE_COLOURS[text]) if text in _STATE_COLOURS else padded


def _format_last_line(nodes: Sequence[Mapping[str, Any]], width: int) -> str:
    summary, advice = summarise(nodes), f"hint: {hint(nodes)}"
    room = min(shutil.get_terminal_size((100, 24)).columns, max(width, 80))
    return summary + " " * max(4, room - len(summary) - len(advice)) + click.style(advice, dim=True)


def _make_document(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = make_rows(nodes)
    described = [
        {**node, "health": row.health, "certificate_days_left": days_left(node), "info": row.info}
        for row, node in zip(rows, nodes, strict=True)
    ]
    return {"exit_code": exit_code(nodes), "summary": summarise(nodes), "nodes": described}
