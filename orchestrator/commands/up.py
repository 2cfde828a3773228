"""`cluster up`: make what is missing, start the supervisor, wait until all nodes serve."""

import argparse
import json
import os
import shlex
import sys

import click

from nodes.runtime.crash_points import obey
from nodes.runtime.lifeline import parse_descriptor
from orchestrator.commands.options import DURATION, FILE, open_folder, output_option
from orchestrator.console.progress import Progress
from orchestrator.inspection.status import exit_code, list_warnings
from orchestrator.inspection.status_view import show_status
from orchestrator.layout.accounts import read_users
from orchestrator.layout.config import ClusterConfig, load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.planning import make_plan
from orchestrator.lifecycle.starting import (
    CannotStart,
    Node,
    Nodes,
    NotInTime,
    demand_ports,
    is_answering,
    join_or_start,
    wait_for,
)
from orchestrator.supervision.control import ask
from orchestrator.supervision.lock import FolderLock, Taken
from orchestrator.supervision.plan import Plan

_OTHERS_END_WITHIN_S = 10.0


def _demand_open(_: click.Context, __: click.Parameter, descriptor: int | None) -> int | None:
    try:
        return None if descriptor is None else parse_descriptor(str(descriptor))
    except argparse.ArgumentTypeError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("-f", "--file", "folder", callback=open_folder, **FILE)
@click.option("--foreground", is_flag=True, help="Stay, show what happens, and stop all nodes at Ctrl-C.")
@click.option(
    "--wait", "wait_s", type=DURATION, default="30s", show_default=True, help="How long for all to serve."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be started, or what is wrong with the configuration and users.",
)
# For a command that makes a cluster for itself: the cluster ends with this pipe.
@click.option("--lifeline-fd", type=int, callback=_demand_open, hidden=True)
@output_option
def up(
    *, folder: ClusterFolder, foreground: bool, wait_s: float, dry_run: bool, lifeline_fd: int | None, output: str
) -> None:
    """Start the gateway and the banks, wait until all serve, and show them.

    Certificates that are missing or about to expire are made first. In a cluster that is up
    already as well, since nodes take them while they run, as they do accounts that users.json
    has more; nothing else is changed there, and what cluster.yaml says otherwise than the nodes
    that run is told: `down` and `up` take it.

    \b
    Exit code: as that of `cluster status`; 0 when all serve.
    \b
    Examples:
      cluster up
      cluster up -f shop/cluster.yaml --wait 60s
      cluster up --foreground
    """
    config = load(folder.config)
    obey(folder.crash_order("up") if config.is_test else None)
    if dry_run:
        read_users(config)
        _show_plan(make_plan(config, folder), output)
    elif foreground:
        _stay(config, folder, lifeline_fd)
    else:
        _start(config, folder, wait_s, output, lifeline_fd)


def _show_plan(plan: Plan, output: str) -> None:
    if output == "json":
        nodes = [{"name": each.name, "address": each.address, "command": each.command} for each in plan.launches]
        click.echo(json.dumps({"nodes": nodes}, indent=2))
        return
    for launch in plan.launches:
        click.echo(f"{launch.name} at {launch.address}: {shlex.join(launch.command)}")


def bring_up(
    config: ClusterConfig, folder: ClusterFolder, wait_s: float, lifeline_fd: int | None = None
) -> tuple[Nodes, bool, bool]:
    """Start the cluster, or join it; return the nodes, whether all have settled, and whether it is new."""
    progress = Progress()
    progress.say("making what is missing")
    is_new = join_or_start(
        folder.control_socket, lambda: _prepare(config, folder), within_s=wait_s, lifeline_fd=lifeline_fd
    )
    if not is_new:
        _refresh(config, folder)
    nodes, is_settled = _wait_until_settled(folder, progress, wait_s)
    progress.end()
    return nodes, is_settled, is_new


def _start(
    config: ClusterConfig, folder: ClusterFolder, wait_s: float, output: str, lifeline_fd: int | None
) -> None:
    nodes, is_settled, is_new = bring_up(config, folder, wait_s, lifeline_fd)
    show_status(nodes, output)
    _show_failures(nodes)
    _warn_of_drift(config, folder, nodes)
    if not is_settled:
        advice = "see what is marked with !" if list_warnings(nodes) else "they are still being started"
        click.echo(f"Not all serve after {wait_s:g} s; {advice}: cluster status -w", err=True)
    if exit_code(nodes) == 0:
        click.echo(_describe_next(is_new), err=True)
        _warn_of_test_profile(config)
        _warn_of_demo_passwords(config)
    sys.exit(exit_code(nodes))


def _stay(config: ClusterConfig, folder: ClusterFolder, lifeline_fd: int | None) -> None:
    # Only here: `up` in the background needs no event loop.
    from orchestrator.inspection.log_view import show_event
    from orchestrator.supervision.supervisor import supervise

    try:
        with FolderLock(folder.state / "up.lock") as lock:
            lock.take(within_s=_OTHERS_END_WITHIN_S)
            if is_answering(folder.control_socket):
                raise CannotStart("the cluster is up already, in the background; `cluster down` stops it")
            plan = _prepare(config, folder)
            demand_ports(plan)
        supervise(plan, show_event, lifeline_fd)
    except Taken as error:
        raise CannotStart(f"{error}, which starts or owns this cluster") from error


def _prepare(config: ClusterConfig, folder: ClusterFolder) -> Plan:
    # Only here: a cluster that is up already is joined without it.
    from orchestrator.lifecycle.preparing import prepare

    return prepare(config, folder, lambda change: click.echo(change, err=True))


def _refresh(config: ClusterConfig, folder: ClusterFolder) -> None:
    from orchestrator.lifecycle.preparing import refresh

    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_OTHERS_END_WITHIN_S)
        nodes: Nodes = ask(folder.control_socket, {"do": "status"})["nodes"]
        # A bank that does not run yet takes nothing; that it does not is said afterwards.
        absent = set(config.banks) - {each["name"] for each in nodes}
        changed = set()
        for node, what in refresh(config, folder):
            changed.add(node)
            if node not in absent:
                click.echo(what, err=True)
    for each in ask(folder.control_socket, {"do": "status"})["nodes"] if changed else ():
        if each["name"] in changed and each["state"] == "FATAL":
            ask(folder.control_socket, {"do": "restart", "node": each["name"]})


def _wait_until_settled(folder: ClusterFolder, progress: Progress, wait_s: float) -> tuple[Nodes, bool]:
    try:
        nodes = wait_for(
            folder.control_socket, _is_settled, within_s=wait_s, watch=lambda nodes: progress.say(_describe(nodes))
        )
    except NotInTime as late:
        return late.nodes, False
    except KeyboardInterrupt:
        progress.end()
        click.echo(
            "The cluster goes on starting: `cluster status -w` shows it, `cluster down` stops it.", err=True
        )
        raise
    return nodes, True


def _is_settled(nodes: Nodes) -> bool:
    """Tell whether nothing more will come by waiting: without a gateway no bank gets ready, only up."""
    ended = {node["name"] for node in nodes if node["state"] in ("FATAL", "STOPPED")}
    is_gateway_lost = any(node["role"] == "gateway" and node["name"] in ended for node in nodes)
    return all(
        node["is_ready"] or node["name"] in ended or (is_gateway_lost and node["state"] == "RUNNING")
        for node in nodes
    )


def _describe(nodes: Nodes) -> str:
    return "waiting for " + ", ".join(_describe_one(node) for node in nodes if not node["is_ready"])


def _describe_one(node: Node) -> str:
    return f"{node['name']} ({node['state']})"


def _show_failures(nodes: Nodes) -> None:
    for node in nodes:
        if node["state"] == "FATAL":
            click.echo(f"\n{node['name']} could not be started: {node['reason']}", err=True)
            for line in node["last_lines"]:
                click.echo(f"  {line}", err=True)


def _warn_of_drift(config: ClusterConfig, folder: ClusterFolder, nodes: Nodes) -> None:
    from orchestrator.inspection.drift import find_changes

    for line in find_changes(config, folder, nodes):
        click.echo(click.style(line, fg="yellow"), err=True)


def _warn_of_test_profile(config: ClusterConfig) -> None:
    if config.is_test:
        text = "The profile is test: this cluster can be broken from inside. Keep real money out of it."
        click.echo(click.style(text, fg="yellow"), err=True)


def _warn_of_demo_passwords(config: ClusterConfig) -> None:
    # Only here: checking a password takes its time.
    from orchestrator.layout.demo_passwords import find_demo_users

    names = find_demo_users(config)
    if names:
        shown = ", ".join(f"{name} / {name}123" for name in names)
        text = f"Demo passwords are in use: {shown}. Change them in users.json before any real use."
        click.echo(click.style(text, fg="yellow"), err=True)


def _describe_next(is_new: bool) -> str:
    first = "The cluster is up." if is_new else "The cluster is up already."
    # From a checkout it is the script there that was called, from wherever that was.
    home = os.environ.get("CLUSTER_HOME")
    name = shlex.quote(f"{os.path.relpath(home)}/cluster") if home else "cluster"
    return f"""{first} What to do next:
  {name} shell      log in, pay, look
  {name} status -w  watch the nodes
  {name} logs -f    watch the requests
  {name} down       stop everything"""
