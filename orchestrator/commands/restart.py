"""`cluster restart`: end one node in order and start it again; or all, one after the other."""

import sys
from collections.abc import Set
from contextlib import suppress

import click

from orchestrator.commands.options import DURATION, folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.console.progress import Progress
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.starting import Node, NotInTime, wait_for
from orchestrator.supervision.control import ask


@click.command()
@click.argument("node", required=False)
@click.option("--rolling", is_flag=True, help="All nodes, one after the other, each when the last one serves.")
@click.option("--wait", "wait_s", type=DURATION, default="30s", show_default=True, help="How long for each node.")
@output_option
@folder_option
def restart(*, node: str | None, rolling: bool, wait_s: float, output: str, folder: ClusterFolder) -> None:
    """End NODE in order, start it again, and wait until it serves. A FATAL node is started, too.

    \b
    Examples:
      cluster restart HDFC
      cluster restart --rolling
    """
    if (node is not None) == rolling:
        raise click.UsageError("name one node, or give --rolling for all of them")
    nodes: list[Node] = ask(folder.control_socket, {"do": "status"})["nodes"]
    starts = {each["name"]: each["starts"] for each in nodes}
    # The banks first: the gateway is gone for everyone, a bank for its own payments alone.
    for name in [node] if node is not None else list(reversed(starts)):
        found = _restart_one(folder, name, starts.get(name, 0), wait_s)
        tell(output, f"{name} was restarted (process {found['pid']})", node=name, pid=found["pid"])
    # A bank whose gateway was gone does not serve before it has met the new one.
    served = {each["name"] for each in nodes if each["is_ready"]}
    with suppress(NotInTime):
        wait_for(folder.control_socket, lambda now: _all_serve(now, served), within_s=wait_s)


def _all_serve(nodes: list[Node], names: Set[str]) -> bool:
    return all(node["is_ready"] for node in nodes if node["name"] in names)


def _restart_one(folder: ClusterFolder, name: str, starts: int, wait_s: float) -> Node:
    ask(folder.control_socket, {"do": "restart", "node": name})
    progress = Progress()

    def find(nodes: list[Node]) -> Node:
        return next(node for node in nodes if node["name"] == name)

    def is_settled(nodes: list[Node]) -> bool:
        node = find(nodes)
        return bool(node["starts"] > starts and (node["is_ready"] or node["state"] == "FATAL"))

    def watch(nodes: list[Node]) -> None:
        progress.say(f"waiting for {name}: {find(nodes)['state']} {find(nodes)['reason']}")

    try:
        found = find(wait_for(folder.control_socket, is_settled, within_s=wait_s, watch=watch))
    except NotInTime as late:
        found = find(late.nodes)
    progress.end()
    if not found["is_ready"]:
        sys.stderr.write("".join(f"  {line}\n" for line in found["last_lines"]))
        raise click.ClickException(f"{name} is {found['state']}, not serving: {found['reason']}")
    return found
