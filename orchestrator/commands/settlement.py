"""`cluster settlement`: what each bank is owed by each other, all of one moment."""

import json
import sys
from typing import Any

import click

from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.exit_codes import AUDIT_FAILED
from orchestrator.layout.folder import ClusterFolder


@click.command()
@output_option
@folder_option
def settlement(*, output: str, folder: ClusterFolder) -> None:
    """Show the net position of each bank: + is owed to it by the others, - is what it owes them.

    All positions are of one moment, at which every bank had carried out the same payments;
    they sum to zero. Exit code: 0, or 8 when they do not.

    \b
    Examples:
      cluster settlement
      cluster settlement -o json
    """
    from nodes.core.settlement import find_imbalances
    from nodes.runtime.chain_messages import read_clearing
    from orchestrator.inspection.operator_line import call_gateway
    from orchestrator.layout.config import load

    with call_gateway(load(folder.config), folder) as gateway:
        positions = {bank.bank: read_clearing(bank) for bank in gateway.take_cut().banks}
    imbalances = find_imbalances(positions)
    lines = [json.dumps(_make_document(positions))] if output == "json" else _describe(positions)
    for line in (*lines, *imbalances) if output != "json" else lines:
        click.echo(line)
    sys.exit(AUDIT_FAILED if imbalances else 0)


def _describe(positions: Any) -> list[str]:
    from orchestrator.console.text_table import format_columns

    lines: list[str] = []
    for currency in sorted({currency for currencies in positions.values() for currency in currencies}):
        banks = sorted(bank for bank, currencies in positions.items() if currency in currencies)
        rows = [["BANK", *(f"WITH {bank}" for bank in banks), "NET", "CURRENCY"]]
        nets = []
        for bank in banks:
            due_to = positions[bank][currency].due_to
            nets.append(-sum(due_to.values()))
            owed = [_show(-due_to[other], currency) if other in due_to else "-" for other in banks]
            rows.append([bank, *owed, _show(nets[-1], currency), currency])
        rows.append(["sum", *("" for _ in banks), _show(sum(nets), currency), currency])
        lines += format_columns(rows)
    return lines


def _show(minor: int, currency: str) -> str:
    from nodes.core.money import format_amount

    return ("+" if minor > 0 else "") + format_amount(minor, currency)


def _make_document(positions: Any) -> list[dict[str, Any]]:
    return [
        {
            "bank": bank,
            "currency": currency,
            "net_minor": -sum(clearing.due_to.values()),
            "owed_by_minor": {other: -due_minor for other, due_minor in sorted(clearing.due_to.items())},
        }
        for bank, currencies in sorted(positions.items())
        for currency, clearing in sorted(currencies.items())
    ]
