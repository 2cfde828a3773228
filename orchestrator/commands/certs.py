"""`cluster certs`: look at the certificates, and replace them while the cluster runs."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands.options import DURATION, Group, folder_option, output_option
from orchestrator.console.outcome import tell
from orchestrator.layout.folder import ClusterFolder

if TYPE_CHECKING:
    from orchestrator.identity.certificates import Leaf, Listed
    from orchestrator.identity.rotation import Step

_OTHERS_END_WITHIN_S = 10.0
_WAIT = click.option(
    "--wait", "wait_s", type=DURATION, default="15s", show_default=True, help="How long for each step."
)


@click.group(cls=Group)
def certs() -> None:
    """Look at the certificates of the cluster, and replace them while it runs."""


@certs.command("ls")
@output_option
@folder_option
def list_(*, output: str, folder: ClusterFolder) -> None:
    """List every certificate: whom it names, when it ends, and what is wrong with it.

    \b
    Examples:
      cluster certs ls
      cluster certs ls -o json
    """
    from orchestrator.console.text_table import format_columns
    from orchestrator.identity.certificates import list_certificates, list_leafs
    from orchestrator.layout.config import load

    config = load(folder.config)
    shown = {leaf.name: _find_shown(folder, leaf) for leaf in list_leafs(config, folder) if leaf.is_node}
    listed = list_certificates(folder, config)
    if output == "json":
        rows = [
            {
                **row._asdict(),
                "not_after": row.not_after.strftime("%Y-%m-%dT%H:%M:%SZ") if row.not_after else None,
                "shown_serial": shown.get(row.name) or None,
            }
            for row in listed
        ]
        click.echo(json.dumps({"certificates": rows}, indent=2))
        return
    head = ("NAME", "IDENTITY", "DAYS LEFT", "UNTIL", "SHOWN", "FAULT", *(["SERIAL"] if output == "wide" else []))
    lines = [
        (
            row.name,
            row.identity or "-",
            str(row.days_left) if row.not_after else "-",
            f"{row.not_after:%Y-%m-%d}" if row.not_after else "-",
            _describe_shown(row, shown.get(row.name, "")),
            row.fault or "-",
            *([row.serial] if output == "wide" else []),
        )
        for row in listed
    ]
    click.echo("\n".join(format_columns([head, *lines])))


_OVERLAP = "With --tokens: how long older logins hold; 0s ends them."


@certs.command()
@click.argument("names", metavar="[NODE]...", nargs=-1)
@click.option("--ca", "is_authority", is_flag=True, help="Let another authority take over, then all certificates.")
@click.option("--tokens", "is_token_key", is_flag=True, help="Let another key sign logins instead.")
@click.option("--overlap", "overlap_s", type=DURATION, default="1h", show_default=True, help=_OVERLAP)
@click.option(
    "--revoke", "is_revoked", is_flag=True, help="Then revoke what was issued before, once it is unused."
)
@_WAIT
@output_option
@folder_option
def rotate(names: tuple[str, ...], output: str, folder: ClusterFolder, **options: Any) -> None:
    """Replace certificates with their keys, of each NODE or of all, while payments go on.

    Each node is waited for until it shows its new certificate. With --ca both authorities
    are trusted until every certificate is signed by the new one. What stops half-way is
    gone on with by the same command.

    \b
    Examples:
      cluster certs rotate HDFC
      cluster certs rotate
      cluster certs rotate --ca
      cluster certs rotate gateway --revoke     its key may have been stolen
      cluster certs rotate --tokens
      cluster certs rotate --tokens --overlap 0s
    """
    from orchestrator.identity.rotation import (
        demand_authority,
        find_leafs,
        revoke_older,
        rotate_authority,
        rotate_leafs,
        rotate_token_key,
    )
    from orchestrator.identity.witness import RunningNodes
    from orchestrator.layout.config import load
    from orchestrator.supervision.lock import FolderLock

    is_authority, is_token_key, is_revoked = (
        options[f"is_{what}"] for what in ("authority", "token_key", "revoked")
    )
    if is_authority + is_token_key + (bool(names) or is_revoked) > 1:
        raise click.UsageError("--ca, --tokens and certificates (NODE, --revoke) are three things: give one alone")
    config = load(folder.config)
    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_OTHERS_END_WITHIN_S)
        witness = RunningNodes(folder, within_s=options["wait_s"])
        if is_authority:
            _tell(rotate_authority(config, folder, witness), output)
        elif is_token_key:
            _tell(rotate_token_key(folder, options["overlap_s"], witness), output)
        else:
            leafs = find_leafs(config, folder, names)
            _tell(rotate_leafs(leafs, demand_authority(config, folder), witness), output)
            if is_revoked:
                _tell(revoke_older(folder, leafs, witness), output)


@certs.command()
@output_option
@folder_option
def renew(*, output: str, folder: ClusterFolder) -> None:
    """Make anew what expires within a week or does not serve; the supervisor does so twice a day.

    \b
    Examples:
      cluster certs renew
    """
    from orchestrator.identity.certificates import renew_leafs
    from orchestrator.identity.rotation import demand_authority
    from orchestrator.layout.config import load
    from orchestrator.supervision.lock import FolderLock

    config = load(folder.config)
    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_OTHERS_END_WITHIN_S)
        demand_authority(config, folder)
        is_any = False
        for change in renew_leafs(config, folder):
            is_any = True
            tell(output, f"certificates: {change}", certificate=change.path.stem, why=change.why)
    if not is_any:
        click.echo("certificates: all serve, and none ends within a week", err=True)


@certs.command()
@click.argument("name")
@_WAIT
@output_option
@folder_option
def revoke(*, name: str, wait_s: float, output: str, folder: ClusterFolder) -> None:
    """Cut NAME, a bank or a client, off: all that was ever issued to it is worth nothing from now on.

    Its connections end within a second. It stays out through restarts, until
    `cluster certs rotate NAME` issues a successor. Of the gateway and the operator, without
    whom nothing works, `cluster certs rotate NAME --revoke` revokes what is older.

    \b
    Examples:
      cluster certs revoke HDFC
      cluster certs revoke shell
      cluster certs revoke client/till     one that was issued by hand
    """
    from orchestrator.identity.revocation import find_identity
    from orchestrator.identity.revocation import revoke as put_on_record
    from orchestrator.identity.witness import RunningNodes
    from orchestrator.layout.config import load
    from orchestrator.supervision.lock import FolderLock

    identity = find_identity(load(folder.config), name)
    with FolderLock(folder.state / "up.lock") as lock:
        lock.take(within_s=_OTHERS_END_WITHIN_S)
        since = put_on_record(folder, identity)
        RunningNodes(folder, within_s=wait_s).wait_revoked(identity, since)
    said = f"{identity.path} is cut off; `cluster certs rotate` with its name issues a successor"
    tell(output, said, identity=identity.uri, before=since)


def _tell(steps: "Iterator[Step]", output: str) -> None:
    for step in steps:
        tell(output, step.said, certificate=step.certificate, serial=step.serial, step=step.said)


def _find_shown(folder: ClusterFolder, leaf: "Leaf") -> str:
    from orchestrator.identity.handshake import find_shown_serial

    return find_shown_serial(folder, leaf.address, leaf.identity.tls_name)


def _describe_shown(row: "Listed", shown: str) -> str:
    if not shown:
        return "-"
    return "yes" if shown == row.serial else f"no, but {shown}"
