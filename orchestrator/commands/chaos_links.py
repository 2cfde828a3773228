"""`cluster chaos delay|drop|limit|cut|partition|reset A->B`, `ls`, `heal`: break links, for a time.

Each command stays for as long as its fault lasts, and is its owner: when it ends,
however it ends, the supervisor heals the fault.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from orchestrator.commands.options import DURATION, folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.console.text_table import format_columns
from orchestrator.layout.folder import ClusterFolder
from orchestrator.links.faults import Kind
from orchestrator.supervision.control import SupervisorAway, ask, follow

_SILENT_AFTER_S = 5.0
_DEFAULT_FOR = "30s"
_ABOUT_DIRECTIONS = """

A and B are gateway, a bank, client or *. A->B is what A sends to B, on every connection between
the two, whoever opened it. Quote the arrow, or write A:B. The fault heals when its time is over,
by `cluster chaos heal`, or when this command ends, however it ends.
"""


class _Direction(click.ParamType[tuple[str, str]]):
    name = "a->b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        source, arrow, target = value.partition("->" if "->" in value else ":")
        if not (source and arrow and target):
            # Unquoted, the shell takes the > for itself.
            self.fail(f"{value!r} is not A->B; quote it, 'HDFC->gateway', or write HDFC:gateway", param, ctx)
        return source, target


def _link_command(text: str, *examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function that is given where, for how long, how it is told, and its own options."""
    shown = "\n".join(f"  cluster chaos {example}" for example in examples)
    help_text = f"{text}{_ABOUT_DIRECTIONS}\n\b\nExamples:\n{shown}"

    def decorate(function: Callable[..., None]) -> click.Command:
        for decorator in (
            folder_option,
            output_option,
            click.option(
                "--for", "for_s", type=DURATION, default=_DEFAULT_FOR, show_default=True, help="How long at most."
            ),
            click.argument("direction", metavar="A->B", type=_Direction()),
        ):
            function = decorator(function)
        return click.command(help=help_text)(function)

    return decorate


@_link_command("Have what A sends arrive at B later.", "delay HDFC:gateway --by 200ms --jitter 50ms")
@click.option("--by", "delay_s", type=DURATION, default="200ms", show_default=True, help="By how much.")
@click.option("--jitter", "jitter_s", type=DURATION, default=0.0, help="At random up to so much more.")
def delay(**fields: Any) -> None:
    """Delay a direction."""
    _hold(Kind.DELAY, **fields)


@_link_command("Lose packets from A to B; TCP sends them again, later.", "drop gateway:SBI --rate 20 --for 1m")
@click.option(
    "--rate",
    "percent",
    type=click.FloatRange(0, 100, min_open=True),
    default=10.0,
    show_default=True,
    help="How many of a hundred.",
)
def drop(*, percent: float, **fields: Any) -> None:
    """Lose packets in a direction."""
    _hold(Kind.DROP, loss=percent / 100, **fields)


@_link_command("Have no more than so many bytes a second pass from A to B.", "limit client:gateway --to 4")
@click.option("--to", "kib_per_s", type=click.FloatRange(1), default=16.0, show_default=True, help="KiB a second.")
def limit(*, kib_per_s: float, **fields: Any) -> None:
    """Limit the bytes in a direction."""
    _hold(Kind.LIMIT, bytes_per_s=kib_per_s * 1024, **fields)


@_link_command("Let nothing pass from A to B; B to A is as it was.", "cut 'HDFC->gateway' --for 20s")
def cut(**fields: Any) -> None:
    """Cut one direction."""
    _hold(Kind.CUT, **fields)


@_link_command("Let nothing pass between A and B, either way.", "partition 'gateway->*' --for 10s")
def partition(**fields: Any) -> None:
    """Cut both directions."""
    _hold(Kind.PARTITION, **fields)


@_link_command("Reset each connection in the middle of what A sends to B.", "reset client:gateway --for 5s")
def reset(**fields: Any) -> None:
    """Reset the connections between two."""
    _hold(Kind.RESET, **fields)


@click.command()
@output_option
@folder_option
def ls(*, output: str, folder: ClusterFolder) -> None:
    """Show the faults that are active, and for how much longer.

    \b
    Examples:
      cluster chaos ls
      cluster chaos ls -o json
    """
    nodes = ask(folder.control_socket, {"do": "status"})["nodes"]
    faults = list({fault["id"]: fault for node in nodes for fault in node["faults"]}.values())
    if output == "json":
        click.echo(json.dumps({"faults": faults}, indent=2))
        return
    if not faults:
        click.echo("no link is broken", err=True)
    for line in describe_faults(faults):
        click.echo(line)


def describe_faults(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each fault, in columns."""
    rows = [(fault["id"], fault["text"], f"{fault['left_s']:.1f} s left", fault["owner"]) for fault in faults]
    return format_columns(rows)


@click.command()
@click.argument("fault_id", metavar="[ID]", required=False)
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@output_option
@folder_option
def heal(*, fault_id: str | None, is_all: bool, output: str, folder: ClusterFolder) -> None:
    """End a fault, or all, before its time.

    \b
    Examples:
      cluster chaos heal f3
      cluster chaos heal --all
    """
    if (fault_id is not None) == is_all:
        raise click.UsageError("name one fault (see `cluster chaos ls`), or give --all")
    healed = ask(folder.control_socket, {"do": "heal", "id": fault_id or "*"})["healed"]
    if fault_id is not None and not healed:
        raise click.ClickException(f"no fault is called {fault_id!r}; see `cluster chaos ls`")
    tell(output, f"healed: {', '.join(healed) or 'there was no fault'}", healed=healed)


def _hold(
    kind: Kind, *, folder: ClusterFolder, output: str, direction: tuple[str, str], for_s: float, **amounts: float
) -> None:
    """Have the fault injected, and stay until it has healed."""
    source, target = direction
    owner = f"chaos {kind}, process {os.getpid()}"
    request = {"kind": kind, "source": source, "target": target, "left_s": for_s, "owner": owner, **amounts}
    fault: dict[str, Any] = {}
    for answer in follow(folder.control_socket, {"do": "inject", **request}, within_s=_SILENT_AFTER_S):
        if not fault:
            fault = answer["fault"]
            said = f"{fault['id']} {fault['text']}, for {for_s:g} s; Ctrl-C heals it at once"
            tell(output, said, fault=fault, done="injected")
    if not fault:
        raise SupervisorAway("the supervisor went away before it answered")
    tell(output, f"healed: {fault['text']}", fault=fault, done="healed")


COMMANDS = (delay, drop, limit, cut, partition, reset, ls, heal)
