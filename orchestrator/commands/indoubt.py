"""`cluster indoubt`: what banks hold without knowing the decision, and what may be done about it."""

import getpass
import json
import sys
import time
from typing import Any

import click

from orchestrator.commands.options import Group, folder_option, output_option
from orchestrator.console.exit_codes import FAILED, OK
from orchestrator.console.outcome import tell
from orchestrator.layout.folder import ClusterFolder


@click.group(cls=Group)
def indoubt() -> None:
    """Look at what banks have promised and not heard of; have them ask; settle what no record settles."""


@indoubt.command()
@output_option
@folder_option
def ls(*, output: str, folder: ClusterFolder) -> None:
    """List what each bank holds in doubt, how long, and what the gateway says of it.

    A payment that is under way is among them for some milliseconds: that is no trouble.
    Exit code: 1 when a bank cannot be asked.

    \b
    Examples:
      cluster indoubt ls
      cluster indoubt ls -o json
    """
    from nodes.core.violations import format_payment_id
    from orchestrator.console.amounts import show_amount
    from orchestrator.console.text_table import format_columns
    from orchestrator.inspection.doubt import list_in_doubt

    held, silent = list_in_doubt(folder)
    if output == "json":
        click.echo(json.dumps([_make_document(bank, hold, said) for bank, hold, said in held]))
    else:
        rows = [("BANK", "ID", "PAYER", "EPOCH", "AGE", "AMOUNT", "GATEWAY")]
        for bank, hold, said in held:
            age = f"{max(0.0, time.time() - hold.at_us / 1_000_000):.1f} s"
            amount = show_amount(hold.amount_minor, hold.currency)
            who = format_payment_id(hold.key.payment_id), hold.key.payer, str(hold.key.epoch)
            rows.append((bank, *who, age, amount, said))
        for line in format_columns(rows) if held else [] if silent else ["Nothing is in doubt."]:
            click.echo(line)
    for bank, why in silent.items():
        click.echo(f"what {bank} holds cannot be told: {why}", err=True)
    sys.exit(FAILED if silent else OK)


@indoubt.command()
@click.argument("banks", nargs=-1, metavar="[BANK...]")
@output_option
@folder_option
def retry(*, banks: tuple[str, ...], output: str, folder: ClusterFolder) -> None:
    """Have banks ask the gateway now about all that they hold; all banks if none is named.

    They do so by themselves every second or two.

    \b
    Examples:
      cluster indoubt retry
      cluster indoubt retry HDFC
    """
    from orchestrator.inspection.doubt import ask_gateway

    for bank, (asked, answered) in ask_gateway(folder, banks).items():
        tell(
            output, f"{bank}: asked about {asked}, heard of {answered}", bank=bank, asked=asked, answered=answered
        )


@indoubt.command()
@click.argument("bank")
@click.argument("payment_id", metavar="ID")
@click.option("--commit/--abort", "is_commit", required=True, default=None, help="What to settle it as.")
@click.option("--reason", "why", required=True, help="Why; kept for ever, and shown by every audit.")
@click.option("--by", "who", default=getpass.getuser, show_default="your login", help="Who says so.")
@output_option
@folder_option
def resolve(  # noqa: PLR0913 - the options that say who settles what, and why
    *, bank: str, payment_id: str, is_commit: bool, why: str, who: str, output: str, folder: ClusterFolder
) -> None:
    """Settle what no record settles: a transaction of an epoch that has not begun at the gateway.

    That is so when the gateway's records were restored from an old copy. Whatever contradicts
    a record of the gateway or of a bank is refused, as is what is under way, and what has an
    answer already. It is written once, with who and why.

    \b
    Examples:
      cluster indoubt resolve HDFC 01890a5d-ac96-774b-bcce-b302099a8057 --abort --reason "restored"
    """
    from orchestrator.inspection.doubt import resolve_in_doubt

    for payer in resolve_in_doubt(folder, bank, payment_id.lower(), is_commit=is_commit, who=who, why=why):
        settled = "committed" if is_commit else "aborted"
        said = f"{bank}: the payment {payment_id} of {payer} is resolved as {settled}"
        tell(output, said, bank=bank, payment_id=payment_id.lower(), payer=payer, outcome=settled)


def _make_document(bank: str, hold: Any, said: str) -> dict[str, Any]:
    from nodes.core.violations import format_payment_id

    return {
        "bank": bank,
        "payment_id": format_payment_id(hold.key.payment_id),
        "payer": hold.key.payer,
        "epoch": hold.key.epoch,
        "at_us": hold.at_us,
        "amount_minor": hold.amount_minor,
        "currency": hold.currency,
        "debit_account": hold.debit_account,
        "credit_account": hold.credit_account,
        "gateway": said,
    }
