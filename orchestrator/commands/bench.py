"""`cluster bench`: how many payments a second, how fast, at what cost; then all is audited."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.benchmark.loads import NAMES, Sizes
from orchestrator.commands.options import DURATION, FILE, demand_folder, output_option
from orchestrator.console.progress import Progress

if TYPE_CHECKING:
    from orchestrator.benchmark.campaign import Campaign

_DEFAULT = Sizes()
_FOR_MIN_S = 0.1


def _demand_time(_: click.Context, __: click.Parameter, for_s: float) -> float:
    if for_s < _FOR_MIN_S:
        raise click.BadParameter("less than 100ms measures nothing")
    return for_s


@click.command()
@click.option("--load", "names", type=click.Choice(NAMES), multiple=True, help="Only this; may be repeated.")
@click.option(
    "--for", "for_s", type=DURATION, callback=_demand_time, default="10s", show_default=True,
    help="How long each is measured.",
)  # fmt: skip
@click.option(
    "--callers",
    type=click.IntRange(1, 4000),
    default=_DEFAULT.callers,
    show_default=True,
    help="How many at once.",
)
@click.option(
    "--batch", "batches", type=click.IntRange(1, 10_000), multiple=True, default=_DEFAULT.batches,
    show_default=True, help="Payments a message; may be repeated.",
)  # fmt: skip
@click.option(
    "--banks",
    type=click.IntRange(2, 99),
    default=_DEFAULT.banks,
    show_default=True,
    help="How many many-banks has.",
)
@click.option(
    "--accounts", type=click.IntRange(1001, 10_000_000), default=_DEFAULT.accounts, show_default=True,
    help="How many payees many-accounts has.",
)  # fmt: skip
@click.option(
    "--history", "histories", type=click.IntRange(1, 100_000_000), multiple=True, default=_DEFAULT.histories,
    show_default=True, help="How many payments history has on record before; may be repeated.",
)  # fmt: skip
@click.option("--here", is_flag=True, help="Load the running cluster instead, between accounts of one user.")
@click.option("-u", "--user", default="alice", show_default=True, help="Who pays, with --here.")
@click.option(
    "--scratch", type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    default="/var/tmp", show_default=True, help="Where the clusters that are measured lie meanwhile.",  # noqa: S108
)  # fmt: skip
@click.option(
    "--report", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Also write a page with plots, and its figures as JSON, there.",
)  # fmt: skip
@output_option
@click.option("--file", **{**FILE, "help": "With --here: the running cluster's configuration."})
def bench(*, output: str, report: Path | None, **options: Any) -> None:
    """Measure payments a second, how long each takes and what it costs; then audit.

    Starts a cluster of its own for each load, as durable and as guarded as any other, and
    removes it afterwards; one that fails its audit is kept, and named. The callers
    share the machine with the nodes, and are shown with what they cost. A committed
    transaction of a node is one FSYNC of its log; all nodes' are counted.

    \b
    Loads, all if none is named:
      one           one caller, one payment at a time
      unary         --callers at once, each one payment at a time
      callers       twice as many, on one line that the client library shares among them
      batch         4 callers, each a message of --batch payments at a time
      hot-accounts  the same, all from two users to two
      many-banks    the same, between --banks banks
      many-accounts the same, to --accounts payees
      history       the same, with --history payments on record before
    \b
    With --here the user's password is taken from CLUSTER_PASSWORD.
    \b
    Examples:
      cluster bench
      cluster bench --load unary --callers 16 --for 30s
      cluster bench --load batch --batch 1024 -o json
      cluster bench --report bench
      CLUSTER_PASSWORD=alice123 cluster bench --here --load one
    """
    from orchestrator.benchmark.campaign import run
    from orchestrator.benchmark.machine import describe_machine, is_in_memory
    from orchestrator.benchmark.report import write_report
    from orchestrator.benchmark.view import format_table, make_document

    campaign = _read_campaign(options)
    machine = describe_machine(campaign.scratch)
    if is_in_memory(machine["file_system"]):
        click.echo(f"{campaign.scratch} is in memory, where an fsync costs nothing; see --scratch", err=True)
    progress, results = Progress(), []
    try:
        for result in run(campaign, progress.say):
            progress.end()
            results.append(result)
    finally:
        progress.end()
        document = make_document(results, machine)
        if output == "json":
            click.echo(json.dumps(document))
        elif results:
            click.echo("\n".join(format_table(results, is_wide=output == "wide")))
        if report is not None and results:
            click.echo(f"The report: {write_report(report, document)}", err=True)


def _read_campaign(options: dict[str, Any]) -> "Campaign":
    from orchestrator.benchmark.campaign import Campaign

    return Campaign(
        names=options["names"],
        sizes=Sizes(**{name: options[name] for name in ("callers", "batches", "banks", "accounts", "histories")}),
        for_s=options["for_s"],
        scratch=options["scratch"],
        here=demand_folder(options["file"]) if options["here"] else None,
        user=options["user"],
    )
