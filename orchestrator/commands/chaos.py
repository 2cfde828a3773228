"""`cluster chaos kill|pause|resume|crash NODE`: break a node on purpose, and see it come back.

The links between nodes are broken by the commands of `chaos_links`.
"""

import click

from orchestrator.commands import chaos_links
from orchestrator.commands.chaos_crash import crash, points
from orchestrator.commands.chaos_matrix import matrix
from orchestrator.commands.chaos_run import run
from orchestrator.commands.options import DURATION, Group, folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import ask, follow

_SILENT_AFTER_S = 5.0


@click.group(cls=Group)
def chaos() -> None:
    """Break nodes, and the links between them, on purpose.

    \b
    Examples:
      cluster chaos kill HDFC           signal 9; the supervisor starts it again
      cluster chaos pause gateway       frozen until it counts as hung, then killed and started again
      cluster chaos pause SBI --hold    frozen until it is resumed
      cluster chaos resume SBI
      cluster chaos crash gateway --at gateway.decision.durable-none-told
      cluster chaos cut 'HDFC->gateway' --for 20s     (links: in clusters with `profile: test`)
      cluster chaos run --for 60s --report report     a campaign in a cluster of its own, and its verdict
    """


@chaos.command()
@click.argument("node")
@output_option
@folder_option
def kill(*, node: str, output: str, folder: ClusterFolder) -> None:
    """Kill NODE with signal 9; the supervisor starts it again.

    \b
    Examples:
      cluster chaos kill HDFC
    """
    ask(folder.control_socket, {"do": "kill", "node": node})
    tell(output, f"{node} was killed; see it come back with `cluster status -w`", node=node, done="killed")


@chaos.command()
@click.argument("node")
@click.option("--hold", is_flag=True, help="Until it is resumed; else until it counts as hung.")
@click.option("--for", "for_s", type=DURATION, help="For so long, or until this command ends.")
@output_option
@folder_option
def pause(*, node: str, hold: bool, for_s: float | None, output: str, folder: ClusterFolder) -> None:
    """Freeze NODE, as a machine does that swaps or a virtual one that is moved.

    \b
    Examples:
      cluster chaos pause gateway
      cluster chaos pause SBI --hold
      cluster chaos pause SBI --for 3s
    """
    if hold and for_s is not None:
        raise click.UsageError("give --hold or --for, not both")
    if for_s is not None:
        _pause_for(node, for_s, output, folder)
        return
    ask(folder.control_socket, {"do": "pause", "node": node, "hold": hold})
    end = f"`cluster chaos resume {node}` thaws it" if hold else "it will count as hung, be killed and come back"
    tell(output, f"{node} is frozen; {end}", node=node, done="paused", is_held=hold)


@chaos.command()
@click.argument("node")
@output_option
@folder_option
def resume(*, node: str, output: str, folder: ClusterFolder) -> None:
    """Thaw NODE.

    \b
    Examples:
      cluster chaos resume SBI
    """
    ask(folder.control_socket, {"do": "resume", "node": node})
    tell(output, f"{node} goes on", node=node, done="resumed")


def _pause_for(node: str, for_s: float, output: str, folder: ClusterFolder) -> None:
    is_told = False
    for _ in follow(
        folder.control_socket, {"do": "pause", "node": node, "for_s": for_s}, within_s=_SILENT_AFTER_S
    ):
        if not is_told:
            said = f"{node} is frozen, for {for_s:g} s; Ctrl-C thaws it at once"
            tell(output, said, node=node, done="paused", for_s=for_s)
        is_told = True
    tell(output, f"{node} goes on", node=node, done="resumed")


for _command in (crash, matrix, points, run, *chaos_links.COMMANDS):
    chaos.add_command(_command)
