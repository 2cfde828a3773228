"""`cluster payment`: all that is known of a payment, at the gateway and at every bank."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from nodes.core.visible_text import make_visible
from orchestrator.commands.options import Group, folder_option, output_option
from orchestrator.layout.folder import ClusterFolder


@click.group(cls=Group)
def payment() -> None:
    """Look into payments with the operator's certificate."""


@payment.command()
@click.argument("payment_id", metavar="ID")
@output_option
@folder_option
def show(*, payment_id: str, output: str, folder: ClusterFolder) -> None:
    """Show what the gateway decided on a payment, and what each bank has on record.

    \b
    Examples:
      cluster payment show 01890a5d-ac96-774b-bcce-b302099a8057
      cluster payment show 01890a5d-ac96-774b-bcce-b302099a8057 -o json
    """
    from google.protobuf.json_format import MessageToDict

    from orchestrator.inspection.operator_line import call_gateway
    from orchestrator.layout.config import load

    with call_gateway(load(folder.config), folder) as gateway:
        found = gateway.show_payment(payment_id.lower())
    if output == "json":
        click.echo(json.dumps(MessageToDict(found, preserving_proto_field_name=True), indent=2))
        return
    for trace in found.traces:
        click.echo("\n".join(_describe(trace)))


@payment.command()
@click.argument("payment_id", metavar="ID")
@output_option
@folder_option
def explain(*, payment_id: str, output: str, folder: ClusterFolder) -> None:
    """Tell what happened to a payment, and why it ended so, or what it waits for.

    One timeline of all that has a record of it: the client's outbox, the gateway, the
    banks, every log, and what happened to the nodes meanwhile. Each node's own clock is shown.

    \b
    Examples:
      cluster payment explain 01890a5d-ac96-774b-bcce-b302099a8057
      cluster payment explain 01890a5d-ac96-774b-bcce-b302099a8057 -o json
    """
    from orchestrator.console.text_table import format_columns
    from orchestrator.inspection.explanation import conclude, make_timeline
    from orchestrator.inspection.tracing import gather_evidence
    from orchestrator.layout.config import load

    for evidence in gather_evidence(load(folder.config), folder, payment_id.lower()):
        moments, sentence = make_timeline(evidence), conclude(evidence)
        if output == "json":
            timeline = [{"at": _time(at_us), "who": who, "what": what} for at_us, who, what in moments]
            click.echo(json.dumps({"payment_id": payment_id, "timeline": timeline, "conclusion": sentence}))
            continue
        for line in format_columns([(_time(at_us), who, what) for at_us, who, what in moments]):
            click.echo(line)
        click.echo(sentence)


def _describe(trace: Any) -> list[str]:
    from interbank.v1 import bank_pb2

    from orchestrator.console.amounts import show_amount
    from orchestrator.console.text_table import format_columns
    from orchestrator.inspection.explanation import describe_outcome

    payment = trace.payment
    lines = [
        f"{show_amount(payment.amount_minor, payment.currency)}"
        f" from {payment.payer_account} to {payment.payee_account}",
    ]
    asked, decided = (_time(each.ToMicroseconds()) for each in (payment.created_at, payment.decided_at))
    said = f"{describe_outcome(payment)}, asked for at {asked}, decided at {decided}, epoch {trace.epoch}"
    rows = [("gateway:", said)]
    for bank in trace.banks:
        if bank.error:
            rows.append((f"{bank.bank}:", f"cannot be asked: {make_visible(bank.error)}"))
        for known in bank.transactions:
            state = bank_pb2.TransactionState.Name(known.state).removeprefix("TRANSACTION_STATE_").lower()
            rows.append((f"{bank.bank}:", f"{state} at {_time(known.at_us)}, epoch {known.key.epoch}"))
    return lines + format_columns(rows) + ([] if rows[1:] else ["no bank has it on record"])


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at_us else "-"
