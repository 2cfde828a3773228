"""`cluster events`: what happened to the nodes."""

import json
from collections.abc import Mapping
from typing import Any

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.inspection.log_lines import Filter, read_last
from orchestrator.inspection.log_view import show_event
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import SupervisorAway, follow


@click.command()
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with what happens from now on.")
@click.option("-n", "count", default=50, show_default=True, type=click.IntRange(0, 1000), help="How many to show.")
@output_option
@folder_option
def events(*, is_followed: bool, count: int, output: str, folder: ClusterFolder) -> None:
    """Show what happened to the nodes: started, ready, ended and why, next start, hung, chaos.

    \b
    Examples:
      cluster events
      cluster events -f
      cluster events -n 5 -o json
    """
    show = _print_json if output == "json" else show_event
    request = {"do": "events", "count": count, "follow": is_followed}
    try:
        for entry in follow(folder.control_socket, request):
            show(entry)
    except SupervisorAway:
        if is_followed:
            raise
        for line in read_last(folder.logs, ["supervisor"], Filter(), count):
            show(line.fields)


def _print_json(entry: Mapping[str, Any]) -> None:
    click.echo(json.dumps(entry, ensure_ascii=False))
