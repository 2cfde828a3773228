"""`cluster shell`: log in, pay, look."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from orchestrator.commands.options import folder_option
from orchestrator.exit_codes import OK
from orchestrator.folder import ClusterFolder


@click.command()
@click.option("-u", "--user", default="", help="Log this user in first.")
@click.option("-e", "--execute", "lines", multiple=True, help="Carry out this line; may be given several times.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read the password from the first line of this file.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--keep-going", is_flag=True, help="Go on after a line that went wrong.")
@folder_option
def shell(
    *,
    user: str,
    lines: tuple[str, ...],
    password_file: Path | None,
    output: str,
    keep_going: bool,
    folder: ClusterFolder,
) -> None:
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
    from orchestrator.config import load
    from orchestrator.shell.connection import connect
    from orchestrator.shell.session import ShellSession
    from orchestrator.shell.terminal import Terminal, read_lines, run_interactive, run_lines, tell_of

    config = load(folder.config)
    is_typed = not lines and sys.stdin.isatty()
    given = iter(lines) if lines else read_lines()
    with connect(config, folder) as client:
        session = ShellSession(
            client,
            Outbox(folder.outbox),
            config.currency,
            ask_password=_password_source(password_file, is_typed=is_typed),
            tell=tell_of,
        )
        terminal = Terminal(session, is_json=output == "json", ask=_asker(given, is_typed=is_typed))
        try:
            code = int(terminal.run_line(f"login {user}")) if user else OK
            if is_typed:
                run_interactive(terminal, session, folder.shell_history)
            elif code == OK or keep_going:
                code = run_lines(terminal, given, is_kept_going=keep_going) or code
        finally:
            session.close()
    sys.exit(OK if is_typed else code)


def _password_source(password_file: Path | None, *, is_typed: bool) -> Callable[[str], str]:
    def ask_password(user: str) -> str:
        if password_file is not None:
            return password_file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
        if "CLUSTER_PASSWORD" in os.environ:
            return os.environ["CLUSTER_PASSWORD"]
        if not is_typed:
            raise click.ClickException("no terminal to ask at: give --password-file, or set CLUSTER_PASSWORD")
        password: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
        return password

    return ask_password


def _asker(given: Iterator[str], *, is_typed: bool) -> Callable[[str], str]:
    """Return where further answers come from: whoever types, or the lines that follow."""

    def ask(question: str) -> str:
        if is_typed:
            return input(question)
        return next(given, "")

    return ask
