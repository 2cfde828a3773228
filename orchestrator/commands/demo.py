"""`cluster demo`: a payment survives the death of a bank, for everyone to see."""

import os
import sys

import click

from orchestrator.commands.options import folder_option
from orchestrator.exit_codes import FAILED
from orchestrator.folder import ClusterFolder

_UP_WITHIN_S = 30.0


@click.command()
@folder_option
def demo(*, folder: ClusterFolder) -> None:
    """Kill a bank between its vote and the decision, and watch the payment end all the same.

    Starts the cluster if it is not up. Alice pays Bob from ICICI to HDFC; ICICI votes yes
    and is killed with -9 before the decision; it comes back, asks, and posts. At the end
    the books of all banks are added up. Takes some seconds; exits 1 if any of it fails.

    \b
    Examples:
      cluster demo
    """
    from orchestrator.commands.up import bring_up
    from orchestrator.config import load
    from orchestrator.demonstration import Demonstration, DemonstrationFailed
    from orchestrator.status import exit_code
    from orchestrator.status_view import show_status

    config = load(folder.config)
    nodes, _, _ = bring_up(config, folder, _UP_WITHIN_S)
    if exit_code(nodes):
        show_status(nodes, "table")
        sys.exit(exit_code(nodes))
    password = os.environ.get("CLUSTER_PASSWORD", "alice123")
    try:
        Demonstration(config, folder, password, click.echo).run()
    except DemonstrationFailed as error:
        click.echo(f"FAILED: {error}", err=True)
        sys.exit(FAILED)
