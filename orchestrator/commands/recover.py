"""`cluster recover`: make lost records anew from what others have on record."""

import getpass
import json
import subprocess
import sys
from typing import Any

import click

from orchestrator.commands.options import Group, folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.starting import is_answering
from orchestrator.supervision.lock import FolderLock

_OTHERS_END_WITHIN_S = 10.0


class NotRecovered(Exception):
    """The records could not be made anew; the message says why, and what is needed."""


@click.group(cls=Group)
def recover() -> None:
    """Make lost records anew from what others have on record."""


@recover.command()
@click.option("--reason", "why", required=True, help="Why; kept for ever, and shown by every audit.")
@click.option("--by", "who", default=getpass.getuser, show_default="your login", help="Who says so.")
@click.option("--dry-run", "is_trial", is_flag=True, help="Only say what would come of it.")
@output_option
@folder_option
def gateway(*, why: str, who: str, is_trial: bool, output: str, folder: ClusterFolder) -> None:
    """Make the gateway's records anew from the books of all banks, when its file was lost or is an old copy.

    The cluster must be down, and every bank's file be there and the newest. What any bank has
    posted was committed; what all banks of a payment hold is unknown, and stays in doubt until
    `cluster indoubt resolve`; anything else was declined. The old file is the beginning of the new
    one, and kept beside it. If it is damaged, move it away first.

    Lost for good are memos, payments that were declined before any bank had heard of them, and
    logouts: `cluster certs rotate --tokens` ends all logins.

    \b
    Examples:
      cluster recover gateway --reason "disk lost" --dry-run
      cluster recover gateway --reason "restored the copy of last night"
    """
    from orchestrator.layout.config import load

    config = load(folder.config)
    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_OTHERS_END_WITHIN_S)
        if is_answering(folder.control_socket):
            raise NotRecovered("the cluster is up: `cluster down` first")
        done = _recover(folder, [*config.banks], who, why, is_trial=is_trial)
    tell(output, _describe(done, is_trial), **done)


def _recover(folder: ClusterFolder, banks: list[str], who: str, why: str, *, is_trial: bool) -> dict[str, Any]:
    """Do it in a process of its own, as the gateway would; raises `NotRecovered`."""
    command = [sys.executable, "-P", "-m", "nodes.gateway.recover", f"--database={folder.database('gateway')}"]
    for bank in banks:
        command += ["--bank", bank, str(folder.database(bank))]
    command += [f"--who={who}", f"--why={why}", *(["--dry-run"] if is_trial else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a program of our own
    if done.returncode:
        raise NotRecovered(done.stderr.strip().rpartition("error: ")[2] or "it ended without a word")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _describe(done: dict[str, Any], is_trial: bool) -> str:
    counts = f"{done['committed']:,} committed and {done['declined']:,} declined payments"
    if is_trial:
        lines = [f"{counts} would be made anew; nothing is changed."]
    else:
        kept = f"; the file before is {done['kept']}" if done["kept"] else ""
        lines = [f"{counts} are made anew{kept}."]
    lines += [f"unknown: {said}" for said in done["unknown"]]
    if done["unknown"]:
        lines.append("What is unknown stays in doubt: `cluster up`, then `cluster indoubt ls` and `resolve`.")
    return "\n".join(lines)
