"""`cluster down`: stop every node, then the supervisor; with --wipe, remove what the cluster made."""

import shutil
from contextlib import suppress

import click

from nodes.runtime.crash_points import obey, reach
from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.console.progress import Progress
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.starting import Nodes
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.supervision.lock import FolderLock

_UP_ENDS_WITHIN_S = 10.0


@click.command()
@click.option("--wipe", is_flag=True, help="Remove databases, certificates and logs as well, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@folder_option
def down(*, wipe: bool, yes: bool, output: str, folder: ClusterFolder) -> None:
    """Stop the gateway, then the banks, then the supervisor; takes ten seconds at the most.

    \b
    Examples:
      cluster down
      cluster down --wipe         remove the books, the certificates and the logs, too
    """
    if wipe and not yes:
        click.confirm(f"Remove all books, certificates and logs of {folder.root}, for good?", abort=True, err=True)
    _obey_orders_of_tests(folder)
    progress = Progress()
    was_up = stop_cluster(folder.control_socket, watch=lambda nodes: progress.say(_describe(nodes)))
    progress.end()
    reach("down.stopped")
    said = "The cluster is down." if was_up else "The cluster was not up."
    if wipe:
        _wipe(folder)
        said += f"\nBooks, certificates and logs of {folder.root} are removed."
    tell(output, said, was_up=was_up, is_wiped=wipe)


def _describe(nodes: Nodes) -> str:
    left = [node["name"] for node in nodes if node["state"] == "STOPPING"]
    return f"waiting for {', '.join(left) or 'the supervisor'} to end"


def _obey_orders_of_tests(folder: ClusterFolder) -> None:
    from orchestrator.layout.config import ConfigMistaken, load

    # A cluster whose configuration is mistaken can be taken down all the same.
    with suppress(ConfigMistaken):
        obey(folder.crash_order("down") if load(folder.config).is_test else None)


def _wipe(folder: ClusterFolder) -> None:
    # Held while the files go, so that nobody starts on what is half gone.
    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_UP_ENDS_WITHIN_S)
        for path in (folder.certs, folder.logs, folder.state):
            if path.exists():
                shutil.rmtree(path)
                reach("down.half-wiped")
