"""`cluster audit`: proves that all records agree, or says what is wrong with which payment."""

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.exit_codes import AUDIT_FAILED
from orchestrator.layout.folder import ClusterFolder

_EVERY_S = 5.0


@click.command()
@click.option(
    "-w",
    "--watch",
    "is_watched",
    is_flag=True,
    help="Audit again and again, until Ctrl-C, also while a node is away.",
)
@click.option("--files", "is_of_files", is_flag=True, help="Audit the files of a cluster that has stopped.")
@click.option(
    "--outbox",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Payments of a client, whose outcomes must be true.  [default: the shell's own]",
)
@output_option
@folder_option
def audit(*, is_watched: bool, is_of_files: bool, outbox: Path | None, output: str, folder: ClusterFolder) -> None:
    """Compare what the gateway decided, what every bank has on its books, and what clients were told.

    Everything is read, of one moment, while payments go on: the chain of hashes over all
    records and what nodes heard of each other's, each account against its journal, each
    payment at the gateway and at its banks, and the money of all.

    Exit code: 0 when all agrees, 8 when something is wrong, 1 when it cannot be told.

    \b
    Examples:
      cluster audit
      cluster audit -w
      cluster audit --files --outbox /backup/outbox.db
      cluster audit -o json | jq '.findings[]'
    """
    from nodes.client import ClientError

    while True:
        try:
            report = _look(folder, outbox, is_of_files=is_of_files)
        except ClientError as error:
            if not is_watched:
                raise
            for line in (str(error), *getattr(error, "__notes__", ())):
                click.echo(f"{_time_of_day()}cannot be told: {line}", err=True)
        else:
            described = [json.dumps(_make_document(report))] if output == "json" else _describe(report, is_watched)
            click.echo("\n".join(described))
            if not is_watched:
                sys.exit(AUDIT_FAILED if report.findings else 0)
        time.sleep(_EVERY_S)


def _look(folder: ClusterFolder, outbox: Path | None, *, is_of_files: bool) -> Any:
    """Audit once. What fails because cluster.yaml was changed since `up` has notes that say so."""
    from nodes.client import ClientError
    from orchestrator.inspection.auditing import audit_files, audit_running
    from orchestrator.inspection.cluster_state import describe_nodes
    from orchestrator.inspection.drift import find_changes
    from orchestrator.layout.config import load

    config = load(folder.config)
    told_in = outbox or (folder.outbox if folder.outbox.exists() else None)
    if is_of_files:
        return audit_files(folder, config.banks, told_in)
    try:
        return audit_running(config, folder, told_in)
    except ClientError as error:
        nodes = describe_nodes(folder)
        for line in find_changes(config, folder, nodes):
            error.add_note(line)
        raise


def _time_of_day() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}  "


def _describe(report: Any, is_watched: bool) -> list[str]:
    from nodes.core.violations import format_payment_id

    seen = f"{report.decisions:,} decisions, {report.entries:,} entries | {report.in_doubt} in doubt"
    verdict = f"FAILED: {len(report.findings)} found wrong" if report.findings else "all agrees"
    time_of_day = _time_of_day() if is_watched else ""
    resolved = [
        f"resolved by {each.who} as {'committed' if each.commit else 'aborted'}: payment"
        f" {format_payment_id(each.payment_id)} of {each.payer}, epoch {each.epoch}: {each.why}"
        for each in report.resolutions
    ]
    recovered = [
        f"the gateway's records were made anew from the banks' books by {each.who},"
        f" {datetime.fromtimestamp(each.at_us / 1_000_000).astimezone():%Y-%m-%d %H:%M}: {each.why}"
        for each in report.recoveries
    ]
    return [
        *map(str, report.findings),
        *recovered,
        *resolved,
        f"{time_of_day}money {_describe_money(report)} | {seen} | {verdict}",
    ]


def _describe_money(report: Any) -> str:
    from nodes.core.money import format_amount

    money = report.money.items()
    amounts = ", ".join(f"{format_amount(sums.paid_in, currency)} {currency}" for currency, sums in money)
    return f"{'OK' if all(sums.is_conserved for _, sums in money) else 'FAILED'} {amounts}"


def _make_document(report: Any) -> dict[str, Any]:
    from nodes.core.violations import format_payment_id

    findings = [
        {
            "check": found.check,
            "node": found.node,
            "payment_id": format_payment_id(found.key[0]) if found.key else None,
            "payer": found.key[1] if found.key else None,
            "said": found.said,
        }
        for found in report.findings
    ]
    return {
        "is_clean": not findings,
        "money": {currency: sums._asdict() for currency, sums in report.money.items()},
        "decisions": report.decisions,
        "entries": report.entries,
        "in_doubt": report.in_doubt,
        "findings": findings,
        "resolutions": [
            {**each._asdict(), "payment_id": format_payment_id(each.payment_id)} for each in report.resolutions
        ],
        "recoveries": [each._asdict() for each in report.recoveries],
    }
