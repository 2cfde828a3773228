"""`cluster chaos run`: break a cluster of its own by a seeded schedule, under load, and judge it by its files."""

import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands.options import DURATION, output_option
from orchestrator.console.exit_codes import FAILED, OK

if TYPE_CHECKING:
    from orchestrator.campaign.campaign import Result
    from orchestrator.campaign.schedule import Schedule

_BANKS = ("HDFC", "ICICI", "SBI")
_FOR_MIN_S = 3.0


def _demand_time(_: click.Context, __: click.Parameter, for_s: float) -> float:
    if for_s < _FOR_MIN_S:
        raise click.BadParameter(f"less than {_FOR_MIN_S:g}s leaves no time to break anything")
    return for_s


@click.command()
@click.argument("schedule_file", metavar="[FILE]", required=False, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--for", "for_s", type=DURATION, callback=_demand_time, default="60s", show_default=True, help="How long."
)
@click.option(
    "--seed", type=click.IntRange(0), help="What the schedule is drawn from.  [default: by chance, and told]"
)
@click.option("--every", "every_s", type=DURATION, default="3s", show_default=True, help="A fault about so often.")
@click.option("--only", "kinds", multiple=True, metavar="KIND", help="Only such faults; may be repeated.")
@click.option(
    "--report", "report", type=click.Path(path_type=Path, file_okay=False), help="Where the report is written."
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    default="/var/tmp",  # noqa: S108 - made by mkdtemp below it
    show_default=True,
    help="Where the cluster that is broken lies meanwhile.",
)
@output_option
def run(*, report: Path | None, scratch: Path, output: str, **options: Any) -> None:
    """Break a test cluster by a seeded schedule while clients pay, then judge it by its database files.

    Starts a cluster of its own, with clients that pay each other, spend from one account at
    once, send the same ids, read what they wrote, and pay from outboxes. Nodes, clients
    and the supervisor are killed, frozen, restarted, denied their disk; links are cut,
    slowed, reset. Then all is healed, and every outcome that anyone was told must be in the
    files. With FILE, the schedule of an earlier report, the same is broken again.

    --report writes a page with pictures, JUnit, the histories, and the schedule.

    \b
    Kinds of faults: kill restart pause disk-full cut partition delay drop reset kill-all
      kill-client kill-supervisor
    \b
    Exit code: 0 when every check passed, 1 when one found something (the cluster's folder is kept).
    \b
    Examples:
      cluster chaos run --for 60s --report chaos-report
      cluster chaos run --seed 7 --for 2m --only kill --only partition
      cluster chaos run chaos-report/schedule.json
    """
    plan = _plan(**options)
    # Only now, since they take their time: what cannot be is said at once.
    from orchestrator.campaign.campaign import Campaign
    from orchestrator.campaign.report import make_verdict, write_report
    from orchestrator.lifecycle.scratch import scratch_folder

    click.echo(f"seed {plan.seed}, {plan.for_s:g} s, {len(plan.steps)} faults", err=True)
    with scratch_folder(scratch, "chaos") as folder:
        result = Campaign(plan, folder, lambda line: click.echo(line, err=True)).run()
        if report is not None:
            write_report(result, report)
        if not result.is_passed:
            folder.keep()
    if output == "json":
        click.echo(json.dumps(make_verdict(result), indent=2))
    else:
        _show(result)
    if report is not None:
        click.echo(f"report: {report / 'index.html'}", err=True)
    if not result.is_passed:
        click.echo(f"the cluster's folder is kept: {folder.root}", err=True)
    sys.exit(OK if result.is_passed else FAILED)


def _plan(
    *, schedule_file: Path | None, seed: int | None, for_s: float, every_s: float, kinds: tuple[str, ...]
) -> "Schedule":
    from orchestrator.campaign import schedule

    if schedule_file is not None:
        return schedule.read(schedule_file.read_text(encoding="utf-8"))
    strangers = set(kinds) - set(schedule.KINDS)
    if strangers:
        raise click.BadParameter(f"there is no fault {min(strangers)!r}; there are {', '.join(schedule.KINDS)}")
    seed = random.randrange(10**6) if seed is None else seed  # noqa: S311 - which one is no secret
    return schedule.draw(seed, for_s, _BANKS, kinds=kinds or schedule.KINDS, every_s=every_s)


def _show(result: "Result") -> None:
    figures = result.figures
    width = max(len(check.claim) for check in result.checks)
    for check in result.checks:
        word = click.style("ok", fg="green") if check.is_passed else click.style("FAILED", fg="red")
        click.echo(f"{check.claim:<{width}}  {check.examined:>8,}  {word}")
        for finding in check.findings:
            click.echo(f"    {finding}")
    click.echo(
        f"{figures.acknowledged:,} payments acknowledged, {figures.committed:,} committed; "
        f"{figures.settled:,} were unknown for a while; {sum(figures.deeds.values())} faults"
    )
    if recovery := figures.recovery_s:
        click.echo(
            f"recovery after a kill, nothing else broken: {recovery[len(recovery) // 2]:.2f} s at the median, "
            f"{recovery[-1]:.2f} s at most, of {len(recovery)}"
        )
    click.echo(click.style("PASSED", fg="green") if result.is_passed else click.style("FAILED", fg="red"))
