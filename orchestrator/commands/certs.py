"""`cluster certs`: look at the certificates."""

import json

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.folder import ClusterFolder


@click.group()
def certs() -> None:
    """Look at the certificates of the cluster; `cluster up` makes and renews them."""


@certs.command("ls")
@output_option
@folder_option
def list_(*, output: str, folder: ClusterFolder) -> None:
    """List every certificate: whom it names, when it ends, and what is wrong with it.

    \b
    Examples:
      cluster certs ls
      cluster certs ls -o json
    """
    from orchestrator.certificates import list_certificates
    from orchestrator.config import load
    from orchestrator.text_table import format_columns

    listed = list_certificates(folder, load(folder.config))
    if output == "json":
        rows = [
            {**row._asdict(), "not_after": row.not_after.strftime("%Y-%m-%dT%H:%M:%SZ") if row.not_after else None}
            for row in listed
        ]
        click.echo(json.dumps({"certificates": rows}, indent=2))
        return
    head = ("NAME", "IDENTITY", "DAYS LEFT", "UNTIL", "FAULT", *(["SERIAL"] if output == "wide" else []))
    lines = [
        (
            row.name,
            row.identity or "-",
            str(row.days_left) if row.not_after else "-",
            f"{row.not_after:%Y-%m-%d}" if row.not_after else "-",
            row.fault or "-",
            *([row.serial] if output == "wide" else []),
        )
        for row in listed
    ]
    click.echo("\n".join(format_columns([head, *lines])))
