"""`cluster user`: help with users.json."""

import json
import os
import sys
from pathlib import Path

import click

from orchestrator.commands.options import Group, output_option


@click.group(cls=Group)
def user() -> None:
    """Help with users.json, the only place where users come from."""


@user.command("hash-password")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read the password from the first line of this file.",
)
@output_option
def hash_password(*, password_file: Path | None, output: str) -> None:
    """Print the hash of a password, for "password_hash" in users.json.

    The password comes from --password-file, else from CLUSTER_PASSWORD, else it is
    asked for. It is never taken from the command line, where others would see it.

    \b
    Examples:
      cluster user hash-password
      cluster user hash-password --password-file new-password.txt
    """
    from nodes.runtime.passwords import hash_password

    try:
        hashed = hash_password(_read_password(password_file))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps({"password_hash": hashed}) if output == "json" else hashed)


def _read_password(password_file: Path | None) -> str:
    if password_file is not None:
        return password_file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
    if "CLUSTER_PASSWORD" in os.environ:
        return os.environ["CLUSTER_PASSWORD"]
    if not sys.stdin.isatty():
        raise click.ClickException("no terminal to ask at: give --password-file, or set CLUSTER_PASSWORD")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
