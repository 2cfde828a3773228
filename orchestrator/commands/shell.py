"""`cluster shell`: log in, pay, look."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator.commands.options import DURATION, FILE, open_folder
from orchestrator.console.exit_codes import OK
from orchestrator.layout.folder import ClusterFolder

if TYPE_CHECKING:
    from orchestrator.shell.passwords import Passwords


class Script(NamedTuple):
    """What to carry out if nobody types: ``lines``, or none for what is piped in."""

    lines: tuple[str, ...]
    is_kept_going: bool
    wait_s: float


def _scripted(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options for when nobody types, as one `Script`."""

    @click.option(
        "-e", "--execute", "lines", multiple=True, help="Carry out this line; may be given several times."
    )
    @click.option("--keep-going", is_flag=True, help="Go on after a line that went wrong.")
    @click.option(
        "--wait",
        "wait_s",
        type=DURATION,
        default="5s",
        show_default=True,
        help="How long to try a payment that cannot be sent before it is left queued; not when typed.",
    )
    @wraps(command)
    def run(*, lines: tuple[str, ...], keep_going: bool, wait_s: float, **rest: object) -> None:
        command(script=Script(lines, keep_going, wait_s), **rest)

    return run


@click.command()
@click.option("-f", "--file", "folder", callback=open_folder, **FILE)
@click.option("-u", "--user", default="", help="Log this user in first.")
@_scripted
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read the password from the first line of this file.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def shell(*, user: str, script: Script, password_file: Path | None, output: str, folder: ClusterFolder) -> None:
    """Log in, pay, and look at balances and history: typed, as -e "...", or piped in.

    The password is asked for; where nobody types it comes from --password-file or
    CLUSTER_PASSWORD. While the gateway is away payments are kept, and sent when it is back.

    \b
    Exit code, where nobody types, of the first line that went wrong:
      1  it could not be carried out
      2  it is no command
      3  the payment was declined
      4  the payment is queued, and will be sent by the next shell
    \b
    Examples:
      cluster shell
      cluster shell -u alice
      cluster shell -u alice -e "balance HDFC" -e "pay bob@HDFC 1000 from ICICI"
      echo "history -n 5" | CLUSTER_PASSWORD=... cluster shell -u alice -o json
    """
    from nodes.client import Outbox
    from nodes.runtime.crash_files import obey_at_files
    from orchestrator.layout.config import load
    from orchestrator.shell.connection import connect
    from orchestrator.shell.session import ShellSession
    from orchestrator.shell.terminal import Terminal, read_lines, run_interactive, run_lines, tell_of

    config = load(folder.config)
    obey_at_files(folder.crash_order("shell") if config.is_test else None)
    is_typed = not script.lines and sys.stdin.isatty()
    given = iter(script.lines) if script.lines else read_lines()
    with connect(config, folder) as client:
        session = ShellSession(
            client,
            Outbox(folder.outbox),
            config.currency,
            passwords=_find_passwords(user, password_file, is_typed=is_typed),
            tell=tell_of,
            patience_s=0.0 if is_typed else script.wait_s,
        )
        ask = _asker(given, is_typed=is_typed)
        terminal = Terminal(session, is_json=output == "json", is_typed=is_typed, ask=ask)
        try:
            code = int(terminal.run_line(f"login {user}")) if user else OK
            if is_typed:
                run_interactive(terminal, session, folder.shell_history)
            elif code == OK or script.is_kept_going:
                code_of_lines = run_lines(terminal, given, is_kept_going=script.is_kept_going)
                code = code or code_of_lines
                session.finish()
        finally:
            session.close()
    sys.exit(OK if is_typed else code)


def _find_passwords(user: str, file: Path | None, *, is_typed: bool) -> "Passwords":
    from orchestrator.shell.passwords import Passwords

    at_hand = os.environ.get("CLUSTER_PASSWORD") if file is None else _read_password(file)
    # Whoever types logs others in as well; a script has one password.
    return Passwords(
        at_hand if user or not is_typed else None, user if is_typed else "", _ask_password if is_typed else None
    )


def _read_password(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 text: is it the file of the password?") from error


def _ask_password(user: str) -> str:
    password: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return password


def _asker(given: Iterator[str], *, is_typed: bool) -> Callable[[str], str]:
    """Return where further answers come from: whoever types, or the lines that follow."""

    def ask(question: str) -> str:
        if is_typed:
            return input(question)
        return next(given, "")

    return ask
