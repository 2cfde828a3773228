"""`cluster doctor`: look for what is wrong, or soon will be."""

import json
import sys

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.exit_codes import FAILED, OK
from orchestrator.layout.folder import ClusterFolder


@click.command()
@output_option
@folder_option
def doctor(*, output: str, folder: ClusterFolder) -> None:
    """Check the machine, the configuration, users, certificates and ports.

    \b
    Exit code: 1 when a check fails; warnings leave it 0.
    \b
    Examples:
      cluster doctor
      cluster doctor -o json
    """
    from orchestrator.console.text_table import format_columns
    from orchestrator.inspection.checks import examine

    findings = list(examine(folder))
    if output == "json":
        click.echo(json.dumps({"findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        rows = [
            (finding.verdict, finding.check, finding.found + (f"; {finding.advice}" if finding.advice else ""))
            for finding in findings
        ]
        click.echo("\n".join(format_columns(rows)))
    sys.exit(FAILED if any(finding.verdict == "fail" for finding in findings) else OK)
