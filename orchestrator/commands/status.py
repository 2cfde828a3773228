"""`cluster status`: one line a node, then how all is; the exit code tells scripts."""

import sys
import time

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.inspection.cluster_state import describe_nodes
from orchestrator.inspection.status import exit_code
from orchestrator.inspection.status_view import format_table, show_status
from orchestrator.layout.folder import ClusterFolder

_EVERY_S = 1.0


@click.command()
@click.option("-w", "--watch", "is_watched", is_flag=True, help="Show it anew every second, until Ctrl-C.")
@output_option
@folder_option
def status(*, is_watched: bool, output: str, folder: ClusterFolder) -> None:
    """Show every node: state, health, what it uses, and what is wrong with it.

    A bank's net position is what the other banks owe it (+), or it owes them (-). The last
    line says whether all books added up when the gateway last looked, some seconds ago.

    \b
    Exit code: 0 when all is well, else the sum of
      1  the gateway is down
      2  a bank is down
      4  a transaction has been in doubt for more than 10 s
      8  the books of all banks do not add up
    \b
    Examples:
      cluster status
      cluster status -w
      cluster status -o json | jq '.nodes[] | {name, health}'
    """
    if is_watched:
        _watch(folder, is_wide=output == "wide")
    nodes = describe_nodes(folder)
    show_status(nodes, output)
    sys.exit(exit_code(nodes))


def _watch(folder: ClusterFolder, *, is_wide: bool) -> None:
    while True:
        lines = format_table(describe_nodes(folder), is_wide=is_wide)
        if sys.stdout.isatty():
            # Home, each line to its end, then what is below: no flicker.
            click.echo("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", nl=False)
        else:
            click.echo("\n".join(lines) + "\n")
        time.sleep(_EVERY_S)
