"""Where lines come from and results go: somebody who types, -e, or a pipe."""

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import click

from nodes.client import CannotCancel, ClientError, Item, State
from nodes.runtime.database import DatabaseUnusable
from orchestrator.console.exit_codes import DECLINED, FAILED, OK, QUEUED, USAGE
from orchestrator.shell import language
from orchestrator.shell.language import (
    Choose,
    Command,
    Help,
    LogIn,
    LogOut,
    Mistake,
    Pay,
    Quit,
    ShowBalance,
    ShowHistory,
    ShowMenu,
    Watch,
    parse,
)
from orchestrator.shell.rendering import describe_item, render_json, render_text
from orchestrator.shell.session import CannotDo, Result, Sent, ShellSession

_SILENT_S = 1.0
"""How long somebody who types may see nothing."""
_GREETING = "Type `help` for the commands, or a number of the menu:\n" + language.MENU


class Ended(IntEnum):
    """How a command ended; the values are exit codes."""

    WELL = OK
    FAILED = FAILED
    MISTAKEN = USAGE
    DECLINED = DECLINED
    QUEUED = QUEUED


class Terminal:
    """Carries lines out in a session. ``ask`` gets a further answer from whoever gives the lines."""

    def __init__(self, session: ShellSession, *, is_json: bool, is_typed: bool, ask: Callable[[str], str]) -> None:
        self.is_over = False
        self._session = session
        self._is_json = is_json
        self._is_typed = is_typed
        self._ask = ask

    def run_line(self, line: str) -> Ended:
        """Carry one line out, and show what came of it."""
        try:
            command = parse(line)
            return Ended.WELL if command is None else self._run(command)
        except Mistake as error:
            return self._complain(error, Ended.MISTAKEN)
        except (CannotDo, CannotCancel, ClientError, DatabaseUnusable) as error:
            return self._complain(error, Ended.FAILED)

    def _run(self, command: Command) -> Ended:
        match command:
            case Quit():
                self.is_over = True
            case Help():
                click.echo(language.HELP)
            case ShowMenu():
                click.echo(language.MENU)
            case Watch(seconds):
                self._watch(seconds)
            case Choose(number):
                return self._run(self._fill_in(number))
            case LogIn(""):
                return self._run(LogIn(self._ask_for_user()))
            case Pay():
                with self._saying_that_it_waits():
                    result = self._session.perform(command)
                return self._show(result)
            case _:
                return self._show(self._session.perform(command))
        return Ended.WELL

    @contextmanager
    def _saying_that_it_waits(self) -> Iterator[None]:
        """Tell who types that nothing is lost by not waiting, if the answer is late."""
        said = "No answer yet. The payment is saved: Ctrl-C goes back to the prompt, and it is sent on meanwhile."
        late = threading.Timer(_SILENT_S, click.echo, [said], {"err": True})
        if self._is_typed:
            late.start()
        try:
            yield
        finally:
            late.cancel()

    def _show(self, result: Result) -> Ended:
        if self._is_json:
            click.echo(json.dumps(render_json(result), ensure_ascii=False))
        else:
            click.echo("\n".join(render_text(result)))
        return _judge(result.item) if isinstance(result, Sent) else Ended.WELL

    def _watch(self, seconds: float) -> None:
        ends = time.monotonic() + seconds if seconds else float("inf")
        try:
            for listed in self._session.watch():
                if listed.payments:
                    self._show(listed)
                if time.monotonic() >= ends:
                    return
        except KeyboardInterrupt:
            click.echo("", err=True)

    def _fill_in(self, number: int) -> Command:
        """Ask for the parts of a command that was chosen by its number."""
        match number:
            case 1:
                return LogIn(self._ask_for_user())
            case 2:
                return Pay(
                    self._ask_until("Pay whom, such as bob@HDFC: ", language.read_account),
                    self._ask("How much: ").strip(),
                    self._ask_until("From your account at which bank, such as ICICI: ", language.read_bank),
                    self._ask("Memo (may be empty): "),
                )
            case 3:
                bank = self._ask_until(
                    "Bank (empty: all): ", lambda text: text.strip() and language.read_bank(text)
                )
                return ShowBalance(bank)
            case 4:
                return ShowHistory(language.HISTORY_COUNT)
            case _:
                return LogOut()

    def _ask_for_user(self) -> str:
        return self._ask_until("User: ", language.read_user)

    def _ask_until(self, question: str, read: Callable[[str], str]) -> str:
        """Ask until the answer can be read; where nobody types, the first answer counts."""
        while True:
            try:
                return read(self._ask(question))
            except Mistake as error:
                if not self._is_typed:
                    raise
                click.echo(f"error: {error}", err=True)

    def _complain(self, error: Exception, ended: Ended) -> Ended:
        if self._is_json:
            click.echo(json.dumps({"error": str(error)}, ensure_ascii=False))
        click.echo(f"error: {error}", err=True)
        return ended


def run_lines(terminal: Terminal, lines: Iterator[str], *, is_kept_going: bool) -> int:
    """Carry out lines that nobody types; return the exit code: that of the first that went wrong."""
    code = OK
    for line in lines:
        ended = terminal.run_line(line)
        code = code or int(ended)
        if terminal.is_over or (ended and not is_kept_going):
            break
    return code


def run_interactive(terminal: Terminal, session: ShellSession, history: Path) -> None:
    """Let somebody type, with completion, history and a line that says how things are."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.patch_stdout import patch_stdout

    history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)),
        completer=WordCompleter(list(language.COMMAND_WORDS), ignore_case=True),
        complete_while_typing=False,
        bottom_toolbar=lambda: _describe_session(session),
    )
    click.echo(_GREETING)
    while not terminal.is_over:
        try:
            with patch_stdout():
                line = prompt.prompt(f"{session.user or 'cluster'}> ")
            terminal.run_line(line)
        except KeyboardInterrupt:
            waiting = f" {session.waiting_count} queued, sent on meanwhile." if session.waiting_count else ""
            click.echo(f"Interrupted.{waiting} Type `quit` to leave.")
        except EOFError:
            return


def tell_of(item: Item) -> None:
    """Say that an item has ended in the background."""
    click.echo(describe_item(item), err=True)


def read_lines() -> Iterator[str]:
    """Yield what is piped in; what is not text becomes a mistake of its line."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")
    for line in sys.stdin:
        yield line.rstrip("\n")


def _describe_session(session: ShellSession) -> str:
    who = session.user if session.is_logged_in else f"{session.user or 'nobody'} (not logged in)"
    line = session.trouble or ("connected" if session.is_logged_in else "-")
    return f" {who} | {line} | {session.waiting_count} queued"


def _judge(item: Item) -> Ended:
    if item.state in (State.COMMITTED, State.CANCELLED):
        return Ended.WELL
    if item.state is State.DECLINED:
        return Ended.DECLINED
    return Ended.FAILED if item.state.is_final else Ended.QUEUED
