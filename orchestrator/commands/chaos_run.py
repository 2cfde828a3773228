"""`cluster chaos run`: break a cluster of its own by a seeded schedule, under load, and judge it by its files."""

import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands.options import DURATION, FILE, demand_folder, output_option
from orchestrator.console.exit_codes import FAILED, OK
from orchestrator.layout.config import ClusterConfig, load

if TYPE_CHECKING:
    from orchestrator.campaign.campaign import Result
    from orchestrator.campaign.schedule import Schedule

_BANKS = ("HDFC", "ICICI", "SBI")
_FOR_MIN_S = 3.0
_NOT_HERE = "kill-client"
"""The fault that a running cluster offers no victim for: no client of it is a campaign's own."""


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
@click.option("--here", is_flag=True, help="Break the running test cluster instead, while one user pays.")
@click.option("-u", "--user", default="alice", show_default=True, help="Who pays, with --here.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    default="/var/tmp",  # noqa: S108 - made by mkdtemp below it
    show_default=True,
    help="Where the cluster that is broken lies meanwhile.",
)
@output_option
@click.option("--file", **{**FILE, "help": "With --here: the running cluster's configuration."})
def run(
    *, report: Path | None, scratch: Path, here: bool, user: str, file: Path, output: str, **options: Any
) -> None:
    """Break a test cluster by a seeded schedule while clients pay, then judge it by its database files.

    Starts a cluster of its own, with clients that pay each other, spend from one account at
    once, send the same ids, read what they wrote, and pay from outboxes. Nodes, clients
    and the supervisor are killed, frozen, restarted, denied their disk; links are cut,
    slowed, reset. Then all is healed, and every outcome that anyone was told must be in the
    files. With FILE, the schedule of an earlier report, the same is broken again.

    --report writes a page with pictures, JUnit, the histories, and the schedule.

    With --here it is the running cluster that is broken, which must be a test cluster whose records
    agree; a user of it pays between their own accounts, whose password is taken from CLUSTER_PASSWORD.
    It is taken down to be judged, and brought up again.

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
      CLUSTER_PASSWORD=alice123 cluster chaos run --here --for 30s
    """
    config = load(demand_folder(file).config) if here else None
    plan = _plan(config, **options)
    # Only now, since they take their time: what cannot be is said at once.
    from orchestrator.campaign.campaign import Campaign
    from orchestrator.campaign.report import make_verdict, write_report
    from orchestrator.campaign.stage import set_up, take_over
    from orchestrator.lifecycle.scratch import scratch_folder

    found = take_over(demand_folder(file), user, _read_password(user)) if here else None
    click.echo(f"seed {plan.seed}, {plan.for_s:g} s, {len(plan.steps)} faults", err=True)
    with scratch_folder(scratch, "chaos") as folder:
        stage = found.noting_in(folder.root) if found is not None else set_up(folder, plan.banks)
        try:
            result = Campaign(plan, stage, lambda line: click.echo(line, err=True)).run()
        finally:
            if here:
                stage.cluster.up()
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
        kept = "the histories are" if here else "the cluster's folder is"
        click.echo(f"{kept} kept: {folder.root}", err=True)
    sys.exit(OK if result.is_passed else FAILED)


def _read_password(user: str) -> str:
    password = os.environ.get("CLUSTER_PASSWORD")
    if password is None:
        raise click.ClickException(f"put the password of {user} into CLUSTER_PASSWORD")
    return password


def _plan(
    here: ClusterConfig | None,
    *,
    schedule_file: Path | None,
    seed: int | None,
    for_s: float,
    every_s: float,
    kinds: tuple[str, ...],
) -> "Schedule":
    from orchestrator.campaign import schedule

    banks = _BANKS if here is None else tuple(here.banks)
    if schedule_file is not None:
        plan = schedule.read(schedule_file.read_text(encoding="utf-8"))
        if here is not None and (set(plan.banks) != set(banks) or any(s.kind == _NOT_HERE for s in plan.steps)):
            raise click.BadParameter(f"{schedule_file} is for other banks than run here, or has {_NOT_HERE}")
        return plan
    if here is not None:
        kinds = kinds or tuple(kind for kind in schedule.KINDS if kind != _NOT_HERE)
        if _NOT_HERE in kinds:
            raise click.BadParameter(f"{_NOT_HERE} needs clients of the campaign's own; leave --here out")
    strangers = set(kinds) - set(schedule.KINDS)
    if strangers:
        raise click.BadParameter(f"there is no fault {min(strangers)!r}; there are {', '.join(schedule.KINDS)}")
    seed = random.randrange(10**6) if seed is None else seed  # noqa: S311 - which one is no secret
    return schedule.draw(seed, for_s, banks, kinds=kinds or schedule.KINDS, every_s=every_s)


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
