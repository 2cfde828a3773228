"""`cluster logs`: what the nodes wrote, as one stream."""

import json
import re
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from nodes.core.names import is_bank_name
from orchestrator.commands.options import folder_option
from orchestrator.inspection.log_lines import Filter, LogLine, Tail, parse_since, read_last
from orchestrator.inspection.log_view import show_line
from orchestrator.layout.folder import ClusterFolder

_LOOK_EVERY_S = 0.2
_NOT_NODES = {"supervisor", "shell", "audit"}


def _compile(_: click.Context, __: click.Parameter, text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise click.BadParameter(f"{text!r} is not a regular expression: {error}") from None


def _read_since(_: click.Context, __: click.Parameter, text: str | None) -> str:
    try:
        return parse_since(text) if text else ""
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _narrowed(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options that say which lines are wanted, as one `Filter`."""

    @click.option(
        "--since", callback=_read_since, metavar="TIME", help="Only from then on: 90s, 5m, 2h, or a time."
    )
    @click.option("--grep", callback=_compile, metavar="RE", help="Only lines that match.")
    @click.option("--payment", default="", metavar="ID", help="Only lines about this payment.")
    @wraps(command)
    def run(*, since: str, grep: re.Pattern[str] | None, payment: str, **rest: object) -> None:
        command(wanted=Filter(since, grep, payment), **rest)

    return run


@click.command()
@click.argument("nodes", nargs=-1, metavar="[NODE...]")
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "count", default=50, show_default=True, type=click.IntRange(0), help="How many lines to show.")
@_narrowed
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@folder_option
def logs(
    *, nodes: tuple[str, ...], is_followed: bool, count: int, wanted: Filter, output: str, folder: ClusterFolder
) -> None:
    """Show the logs of all nodes, or of some, merged by time.

    \b
    Examples:
      cluster logs                        the last 50 lines of all nodes
      cluster logs HDFC -f                one bank, and what it writes from now on
      cluster logs --since 5m --grep DECLINED
      cluster logs --payment 01932c07-5a7b-7c3e-9d0a-0f3c5a1b2c3d -o json
    """
    nodes = nodes or tuple(_find_nodes(folder.logs))
    for node in nodes:
        _demand_logs(folder.logs, node)
    show = _print_json if output == "json" else show_line
    tail = Tail(folder.logs, nodes)
    for line in read_last(folder.logs, nodes, wanted, count):
        show(line)
    while is_followed:
        for line in tail.read_new(wanted):
            show(line)
        time.sleep(_LOOK_EVERY_S)


def _find_nodes(logs: Path) -> list[str]:
    names = {path.stem for path in logs.glob("*.log")}
    return sorted(name for name in names if name == "gateway" or is_bank_name(name))


def _demand_logs(logs: Path, node: str) -> None:
    known = _find_nodes(logs)
    if not is_bank_name(node) and node not in (*known, "gateway", *_NOT_NODES):
        raise click.BadParameter(f"no node is called {node!r}; there are {', '.join(known) or 'none yet'}")
    if not any((logs / f"{node}{suffix}").exists() for suffix in (".log", ".stderr")):
        raise click.ClickException(
            f"{node} has no log in {logs}; has it ever been started? there are {', '.join(known)}"
        )


def _print_json(line: LogLine) -> None:
    click.echo(json.dumps({"time": line.time, "node": line.node, **line.fields}, ensure_ascii=False))
