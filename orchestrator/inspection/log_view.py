"""How events and log lines look on a terminal: local time, node, what happened, the rest as key=value."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from nodes.core.visible_text import make_visible
from orchestrator.inspection.log_lines import LogLine

_COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_magenta")
_EVENT_COLOURS = {
    "ready": "green", "backoff": "yellow", "exited": "yellow", "not-ready": "yellow", "kill": "red",
    "fatal": "red", "chaos": "magenta",
}  # fmt: skip
_LEVEL_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
_SHOWN_APART = ("ts", "time", "node", "event", "level")
_NODE_WIDTH = 10


def show_event(entry: Mapping[str, Any]) -> None:
    """Print one event of the supervisor."""
    event = str(entry.get("event", ""))
    what = click.style(f"{event:<18}", fg=_EVENT_COLOURS.get(event))
    node = str(entry.get("node") or "supervisor")
    text = make_visible(str(entry.get("text", "")))
    click.echo(f"{_local_time(entry.get('time'))} {_paint_node(node)} {what} {text}".rstrip())


def show_line(line: LogLine) -> None:
    """Print one line of a node's log."""
    fields = line.fields
    colour = _LEVEL_COLOURS.get(str(fields.get("level", "")).lower())
    what = click.style(make_visible(str(fields.get("event", ""))), fg=colour)
    rest = " ".join(
        f"{make_visible(key)}={_plain(value)}" for key, value in fields.items() if key not in _SHOWN_APART
    )
    click.echo(f"{_local_time(line.time)} {_paint_node(line.node)} {what} {click.style(rest, dim=True)}".rstrip())


def _local_time(text: object) -> str:
    try:
        moment = datetime.fromisoformat(str(text)).astimezone()
    except ValueError:
        return "--:--:--.---"
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def _paint_node(node: str) -> str:
    colour = _COLOURS[sum(node.encode()) % len(_COLOURS)]
    return click.style(f"{node:<{_NODE_WIDTH}}", fg=colour)


def _plain(value: object) -> str:
    text = make_visible(str(value))
    return repr(text) if " " in text else text
