"""`cluster chaos crash NODE --at POINT` and `cluster chaos points`: crash a process exactly there."""

import json
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import wraps
from typing import NamedTuple

import click

from orchestrator.commands.options import DURATION, folder_option, output_option
from orchestrator.console.exit_codes import FAILED
from orchestrator.console.outcome import tell
from orchestrator.layout.folder import ClusterFolder


class Strike(NamedTuple):
    """What happens at the point, and at which time that a process comes there."""

    action: str
    hit: int
    sleep_s: float


def _striking(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options for what happens, as one `Strike`."""

    @click.option(
        "--action",
        type=click.Choice(["kill", "kill-twice", "raise", "sleep", "full", "io-error", "commit-then-error"]),
        default="kill",
        show_default=True,
        help="What happens there; kill-twice only where a node starts, the last three only where a store writes.",
    )
    @click.option(
        "--hit", type=click.IntRange(1), default=1, show_default=True, help="At which time it comes there."
    )
    @click.option(
        "--sleep", "sleep_s", type=DURATION, default="2s", show_default=True, help="How long sleep sleeps."
    )
    @wraps(command)
    def run(*, action: str, hit: int, sleep_s: float, **rest: object) -> None:
        command(strike=Strike(action, hit, sleep_s), **rest)

    return run


@click.command()
@click.argument("node")
@click.option("--at", "point", required=True, metavar="POINT", help="Where; `cluster chaos points` lists all.")
@_striking
@click.option("--wait", "wait_s", type=DURATION, default="30s", show_default=True, help="How long to wait for it.")
@output_option
@folder_option
def crash(*, node: str, point: str, strike: Strike, wait_s: float, output: str, folder: ClusterFolder) -> None:
    """Crash NODE when it comes to POINT, wait for that, and say how long until it served again.

    NODE is the gateway, a bank, or supervisor, shell, up or down: the program that is to
    crash. Only in a cluster whose cluster.yaml says `profile: test`. It happens once; if it
    has not within --wait, it will not. Exits 1 if it did not happen, or the node is not back.

    \b
    Examples:
      cluster chaos crash gateway --at gateway.decision.durable-none-told
      cluster chaos crash HDFC --at bank.hold.uncommitted --action full
      cluster chaos crash SBI --at bank.vote.durable-unsent --action sleep --sleep 5s --hit 3
    """
    from orchestrator.chaos.crashing import Crash, Crashing, find_point
    from orchestrator.layout.config import load

    config = load(folder.config)
    wanted = Crash(node, find_point(point), *strike)
    outcome = Crashing(config, folder).run(wanted, within_s=wait_s)
    tell(
        output,
        outcome.said,
        node=node,
        point=point,
        action=strike.action,
        is_hit=outcome.is_hit,
        recovered_after_s=outcome.recovered_after_s,
    )
    sys.exit(0 if outcome.is_hit and outcome.is_well else FAILED)


@click.command()
@click.option("--match", "pattern", default="*", metavar="GLOB", help="Only points whose names match.")
@output_option
def points(*, pattern: str, output: str) -> None:
    """List the crash points: between every two steps that leave a trace, on disk or at somebody else.

    \b
    Examples:
      cluster chaos points
      cluster chaos points --match "bank.*" -o wide
    """
    from orchestrator.chaos.crash_registry import POINTS
    from orchestrator.console.text_table import format_columns

    found = [point for point in POINTS if fnmatchcase(point.name, pattern)]
    if not found:
        raise click.ClickException(f"no crash point matches {pattern!r}; `cluster chaos points` lists all")
    if output == "json":
        keys = ("name", "description", "provoked_by", "actions")
        click.echo(json.dumps([{key: getattr(point, key) for key in keys} for point in found], indent=2))
        return
    rows = [("POINT", "WHAT IS SO THERE", *(("WHAT BRINGS A PROCESS THERE",) if output == "wide" else ()))]
    rows += [
        (point.name, point.description, *((point.provoked_by,) if output == "wide" else ())) for point in found
    ]
    for line in format_columns(rows):
        click.echo(line)
