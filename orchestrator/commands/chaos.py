"""`cluster chaos kill|pause|resume NODE`: break a node on purpose, and see it come back."""

import click

from orchestrator.commands.options import folder_option
from orchestrator.control import ask
from orchestrator.folder import ClusterFolder


@click.group()
def chaos() -> None:
    """Break nodes on purpose.

    \b
    Examples:
      cluster chaos kill HDFC           signal 9; the supervisor starts it again
      cluster chaos pause gateway       frozen until it counts as hung, then killed and started again
      cluster chaos pause SBI --hold    frozen until it is resumed
      cluster chaos resume SBI
    """


@chaos.command()
@click.argument("node")
@folder_option
def kill(node: str, folder: ClusterFolder) -> None:
    """Kill NODE with signal 9; the supervisor starts it again."""
    ask(folder.control_socket, {"do": "kill", "node": node})
    click.echo(f"{node} was killed; see it come back with `cluster status -w`", err=True)


@chaos.command()
@click.argument("node")
@click.option("--hold", is_flag=True, help="Until it is resumed; else until it counts as hung.")
@folder_option
def pause(node: str, hold: bool, folder: ClusterFolder) -> None:
    """Freeze NODE, as a machine does that swaps or a virtual one that is moved."""
    ask(folder.control_socket, {"do": "pause", "node": node, "hold": hold})
    end = f"`cluster chaos resume {node}` thaws it" if hold else "it will count as hung, be killed and come back"
    click.echo(f"{node} is frozen; {end}", err=True)


@chaos.command()
@click.argument("node")
@folder_option
def resume(node: str, folder: ClusterFolder) -> None:
    """Thaw NODE."""
    ask(folder.control_socket, {"do": "resume", "node": node})
    click.echo(f"{node} goes on", err=True)
