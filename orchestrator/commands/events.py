"""`cluster events`: what happened to the nodes."""

import click

from orchestrator.commands.options import folder_option
from orchestrator.control import SupervisorAway, follow
from orchestrator.folder import ClusterFolder
from orchestrator.log_lines import Filter, read_last
from orchestrator.log_view import show_event


@click.command()
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with what happens from now on.")
@click.option("-n", "count", default=50, show_default=True, type=click.IntRange(0, 1000), help="How many to show.")
@folder_option
def events(is_followed: bool, count: int, folder: ClusterFolder) -> None:
    """Show what happened to the nodes: started, ready, ended and why, next start, hung, chaos.

    \b
    Examples:
      cluster events
      cluster events -f
      cluster events -n 5
    """
    request = {"do": "events", "count": count, "follow": is_followed}
    try:
        for entry in follow(folder.control_socket, request):
            show_event(entry)
    except SupervisorAway:
        if is_followed:
            raise
        for line in read_last(folder.logs, ["supervisor"], Filter(), count):
            show_event(line.fields)
