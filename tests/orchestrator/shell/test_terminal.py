"""Lines that nobody types end with an exit code; lines that are typed go through prompt_toolkit."""

import io
import json

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from nodes.client import Outbox
from nodes.runtime.database import DatabaseUnusable
from orchestrator.shell import terminal
from orchestrator.shell.passwords import Passwords
from orchestrator.shell.session import ShellSession
from orchestrator.shell.terminal import Terminal, read_lines, run_interactive, run_lines
from tests.orchestrator.fake_gateway import FakeGateway


class Room:
    def __init__(self, path, *, is_json=False, is_typed=False, passwords=None, answers=()):
        self.gateway = FakeGateway()
        passwords = passwords or Passwords("alice123")
        self.session = ShellSession(
            self.gateway, Outbox(path / "outbox.db"), "INR", passwords=passwords, tell=lambda _: None
        )
        given = iter(answers)
        self.terminal = Terminal(self.session, is_json=is_json, is_typed=is_typed, ask=lambda _: next(given))

    def run(self, *lines, is_kept_going=False):
        return run_lines(self.terminal, iter(lines), is_kept_going=is_kept_going)


@pytest.fixture
def room(tmp_path):
    room = Room(tmp_path)
    yield room
    room.session.close()


PAY = "pay bob@HDFC 1 from ICICI"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["login alice", "balance HDFC", PAY, "logout"], 0),
        (["balance HDFC"], 1),
        (["login alice", "pya"], 2),
        (["login alice", "pay bob@HDFC 999999 from ICICI"], 3),
        (["quit", "pya"], 0),
    ],
)
def test_the_exit_code_says_how_it_went(room, lines, code):
    assert room.run(*lines) == code


def test_a_queued_payment_has_an_exit_code_of_its_own(room):
    room.gateway.is_away = True
    assert room.run("login alice", PAY) == 4


@pytest.mark.parametrize("is_typed", [True, False])
def test_who_types_hears_of_an_answer_that_is_late_and_a_program_does_not(tmp_path, monkeypatch, is_typed):
    room = Room(tmp_path, is_typed=is_typed)
    said = []

    def hear(text, **_):
        said.append(text)
        room.gateway.hold.set()

    monkeypatch.setattr(terminal.click, "echo", hear)
    monkeypatch.setattr(terminal, "_SILENT_S", 0.01)
    room.terminal.run_line("login alice")
    if is_typed:
        room.gateway.hold.clear()
    room.terminal.run_line(PAY)
    assert any("Ctrl-C goes back to the prompt" in line for line in said) is is_typed
    room.session.close()


def test_the_first_line_that_goes_wrong_is_the_last_unless_kept_going(room):
    assert room.run("login alice", "pya", PAY) == 2
    assert room.gateway.sent == []
    assert room.run("pya", PAY, is_kept_going=True) == 2
    assert len(room.gateway.sent) == 1


def test_json_is_one_object_a_command_and_mistakes_are_among_them(tmp_path, capsys):
    room = Room(tmp_path, is_json=True)
    room.run("login alice", PAY, "history -n ²", is_kept_going=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [next(iter(each)) for each in objects] == ["user", "payment", "error"]
    room.session.close()


def test_an_outbox_that_cannot_be_opened_is_told_in_a_line_and_the_shell_goes_on(room, capsys, monkeypatch):
    room.run("login alice")

    def refuse(*_):
        raise DatabaseUnusable("state/outbox.db is not a database: move it away")

    monkeypatch.setattr(room.session._outbox, "save", refuse)
    assert room.run(PAY) == 1
    assert "error: state/outbox.db is not a database" in capsys.readouterr().err


def test_the_menu_asks_for_the_parts(tmp_path):
    room = Room(tmp_path, answers=["alice", "bob@HDFC", "10", "ICICI", "it's for lunch"])
    assert room.run("1", "2", "4", "5") == 0
    [view] = room.gateway.views.values()
    assert (view.amount_minor, view.memo) == (1000, "it's for lunch")
    room.session.close()


def test_the_menu_asks_again_for_what_cannot_be_read(tmp_path, capsys):
    answers = ["Alice!", "alice", "bob", "bob@hdfc", "10", "", "icici", ""]
    room = Room(tmp_path, is_typed=True, answers=answers)
    assert room.run("1", "2") == 0
    complaints = capsys.readouterr().err
    for said in ("'Alice!' is not a user", "'bob' is not an account", "'' is not a bank"):
        assert said in complaints
    assert len(room.gateway.views) == 1
    room.session.close()


def test_where_nobody_types_a_menu_answer_that_cannot_be_read_ends_the_command(tmp_path):
    room = Room(tmp_path, answers=["alice", "bob", "bob@HDFC"])
    assert room.run("1", "2") == 2
    assert room.gateway.sent == []
    room.session.close()


def test_a_pipe_that_is_not_text_is_a_mistake_of_its_line(room, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\nhelp\n"), encoding="utf-8"))
    assert run_lines(room.terminal, read_lines(), is_kept_going=True) == 2


def test_a_typed_session_asks_for_the_password_pays_and_keeps_its_history(tmp_path, capsys):
    room = Room(tmp_path, passwords=Passwords(ask=lambda user: f"{user}123"))
    history = tmp_path / "state" / "shell_history"
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text(f"login alice\n{PAY}\nnonsense\nquit\n")
        run_interactive(room.terminal, room.session, history)
    printed = capsys.readouterr()
    assert "Paid ₹1.00 to bob@HDFC from alice@ICICI" in printed.out
    assert "no command 'nonsense'" in printed.err
    kept = history.read_text()
    assert PAY in kept
    assert "alice123" not in kept
    room.session.close()


def test_ctrl_c_at_the_prompt_does_not_leave_and_ctrl_d_does(tmp_path, capsys):
    room = Room(tmp_path)
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("\x03help\n\x04")
        run_interactive(room.terminal, room.session, tmp_path / "shell_history")
    assert "history [-n COUNT]" in capsys.readouterr().out
