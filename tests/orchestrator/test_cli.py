"""The `cluster` command: quick, lazy, and one clear line for what people can mend."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orchestrator import cli
from orchestrator.cli import COMMANDS, main
from orchestrator.layout.config import ConfigMistaken
from orchestrator.layout.folder import ClusterFolder, find_config
from orchestrator.layout.yaml_text import Mistake
from orchestrator.supervision.control import SupervisorAway

ROOT = Path(cli.__file__).parent.parent
HEAVY_OF_THE_LIBRARY = {"asyncio", "concurrent.futures", "email", "http", "importlib.metadata", "json", "logging"}
HEAVY_OF_THE_LIBRARY |= {"multiprocessing", "socket", "sqlite3", "ssl", "subprocess", "unittest"}
COMMAND_FILES = sorted(
    path.stem
    for path in (ROOT / "orchestrator" / "commands").glob("*.py")
    # chaos_links.py has commands of `chaos`, not a command of its own.
    if path.stem not in ("__init__", "options") and "_" not in path.stem
)


def run(*words, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def call(monkeypatch):
    """Run `main` in this process with a command that does as it is told."""

    def call(do, name="status"):
        command = click.Command(name, callback=do)
        monkeypatch.setattr(cli._Commands, "get_command", lambda *_: command)
        monkeypatch.setattr(sys, "argv", ["cluster", name])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return call


def raising(error):
    def do():
        raise error

    return do


def test_help_loads_the_list_of_commands_and_click_and_else_nothing_that_takes_time():
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom orchestrator import cli\nsys.argv = ['cluster', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "sys.exit(' '.join(set(sys.modules) - before))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Usage: cluster" in shown.stdout
    loaded = set(shown.stderr.split())
    ours = {"orchestrator", "orchestrator.cli", "orchestrator.console", "orchestrator.console.exit_codes"}
    assert {name for name in loaded if name.startswith(("orchestrator", "nodes", "interbank"))} == ours
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"orchestrator", "click"}
    assert not loaded & HEAVY_OF_THE_LIBRARY


def test_help_names_every_command_that_there_is():
    assert set(COMMAND_FILES) <= set(COMMANDS)
    shown = run("--help").stdout
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMAND_FILES)
def test_each_command_has_help_of_its_own(name):
    shown = run(name, "--help")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"Usage: cluster {name}")


def test_an_unknown_command_is_a_wrong_use():
    shown = run("explode")
    assert shown.returncode == 2
    assert "No such command 'explode'" in shown.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SupervisorAway("no supervisor runs here"), ["error: no supervisor runs here"]),
        (PermissionError(13, "Permission denied", "state"), ["error: [Errno 13] Permission denied: 'state'"]),
        (
            ConfigMistaken(Path("cluster.yaml"), [Mistake(3, "a", "is wrong"), Mistake(1, "b", "is, too")]),
            ["error: cluster.yaml:1: b: is, too", "error: cluster.yaml:3: a: is wrong"],
        ),
        (click.ClickException("not now"), ["error: not now"]),
    ],
)
def test_what_people_can_mend_is_a_line_for_each_mistake(call, capsys, error, said):
    assert call(raising(error)) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == said
    assert captured.out == ""


def test_a_bug_shows_itself(monkeypatch):
    monkeypatch.setattr(cli.cluster, "main", lambda **_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_what_a_command_returns_is_the_exit_code(call, returned, code):
    assert call(lambda: returned) == code


def test_an_interrupted_command_says_so(call, capsys):
    assert call(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_whoever_reads_no_further_sees_no_traceback():
    read, write = os.pipe()
    os.close(read)
    try:
        shown = subprocess.run(
            [sys.executable, "-m", "orchestrator", "--help"],
            cwd=ROOT,
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert b"Traceback" not in shown.stderr


@pytest.mark.parametrize(("no_color", "shown"), [("", "\x1b[31mred\x1b[0m\n"), ("1", "red\n")])
def test_no_color_is_honoured_on_a_terminal(call, capsys, monkeypatch, no_color, shown):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("click._compat.isatty", lambda _: True)
    call(lambda: click.secho("red", fg="red"))
    assert capsys.readouterr().out == shown


def test_the_configuration_is_found_here_or_above(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_config() == deep / "cluster.yaml"
    (tmp_path / "cluster.yaml").touch()
    assert find_config() == tmp_path / "cluster.yaml"
    (deep / "cluster.yaml").touch()
    assert find_config() == deep / "cluster.yaml"


def test_a_flag_goes_before_the_environment_and_that_before_the_folder(tmp_path):
    for name in ("cluster", "environment", "flag"):
        bank = "{address: localhost:1001}"
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nbanks: {{HDFC: {bank}}}\n")
    (tmp_path / "sub").mkdir()
    for words, environment, found in (
        ((), {}, "cluster"),
        ((), {"CLUSTER_FILE": "../environment.yaml"}, "environment"),
        (("--file", "../flag.yaml"), {"CLUSTER_FILE": "../environment.yaml"}, "flag"),
    ):
        shown = run("doctor", *words, cwd=tmp_path / "sub", **environment)
        assert f" {found}: a gateway and 1 banks" in shown.stdout


def test_a_folder_takes_the_configuration_that_was_named(tmp_path):
    assert ClusterFolder(tmp_path, "other.yaml").config == tmp_path / "other.yaml"


def test_without_a_configuration_it_is_said_what_to_do(tmp_path):
    shown = run("status", cwd=tmp_path)
    assert shown.returncode == 1
    assert "cluster init" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def leaves(command, words=()):
    """Yield (words, command) for each command that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*words, name))
    else:
        yield " ".join(words), command


def groups(command):
    """Yield each command that only has others."""
    if isinstance(command, click.Group):
        yield command
        for name in command.list_commands(click.Context(command)):
            yield from groups(command.get_command(click.Context(command), name))


def test_the_line_of_each_command_in_the_help_is_whole():
    for group in groups(cli.cluster):
        shown = group.get_help(click.Context(group)).partition("Commands:")[2]
        assert shown
        assert "..." not in shown.replace("-e '...'", "")


@pytest.mark.parametrize(("words", "command"), [pytest.param(*leaf, id=leaf[0]) for leaf in leaves(cli.cluster)])
def test_every_command_has_examples_and_speaks_json(words, command):
    assert f"cluster {words}" in command.help.partition("Examples:")[2]
    [output] = [option for option in command.params if "--output" in option.opts]
    assert "-o" in output.opts
    assert "json" in output.type.choices
