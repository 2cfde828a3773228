"""`cluster demo`: a payment survives the death of a bank, for everyone to see."""

import json
import os
import sys

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.exit_codes import FAILED, OK
from orchestrator.layout.folder import ClusterFolder

_UP_WITHIN_S = 30.0


@click.command()
@output_option
@folder_option
def demo(*, output: str, folder: ClusterFolder) -> None:
    """Kill a bank between its vote and the decision, and watch the payment end all the same.

    Starts the cluster if it is not up. A customer of the first bank in cluster.yaml pays one
    of the second; the first bank votes yes and is killed with -9 before the decision; it comes
    back, asks, and posts. At the end the books of all banks are added up. Takes some seconds;
    exits 1 if any of it fails. The payer's password, if it is not the demo's, is taken from
    CLUSTER_PASSWORD.

    \b
    Examples:
      cluster demo
    """
    from orchestrator.chaos.demonstration import Demonstration, DemonstrationFailed, find_cast
    from orchestrator.commands.up import bring_up
    from orchestrator.inspection.status import exit_code
    from orchestrator.inspection.status_view import show_status
    from orchestrator.layout.config import load

    config = load(folder.config)
    cast = find_cast(config)
    nodes, _, _ = bring_up(config, folder, _UP_WITHIN_S)
    if exit_code(nodes):
        show_status(nodes, "table")
        sys.exit(exit_code(nodes))
    password = os.environ.get("CLUSTER_PASSWORD", f"{cast.payer}123")
    is_json, failure = output == "json", ""
    steps: list[str] = []
    try:
        Demonstration(config, folder, cast, password, steps.append if is_json else click.echo).run()
    except DemonstrationFailed as error:
        failure = str(error)
        click.echo(f"FAILED: {failure}", err=True)
    if is_json:
        click.echo(json.dumps({"steps": steps, "failure": failure}, ensure_ascii=False))
    sys.exit(FAILED if failure else OK)
