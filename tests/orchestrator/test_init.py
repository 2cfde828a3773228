"""`cluster init`: a folder to start from, never at the cost of what is there."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.commands.init import init
from orchestrator.layout.accounts import read_users
from orchestrator.layout.config import load

ROOT = Path(__file__).parent.parent.parent


def run(*words):
    return CliRunner().invoke(init, [str(word) for word in words])


def test_a_new_folder_can_be_started_from(tmp_path):
    result = run(tmp_path / "new" / "shop")
    assert result.exit_code == 0, result.output
    config = load(tmp_path / "new" / "shop" / "cluster.yaml")
    assert config.users.parent == tmp_path / "new" / "shop"
    assert [user.name for user in read_users(config)] == ["alice", "bob", "charlie", "dave", "eve"]
    assert "cluster up" in result.stderr
    assert result.stdout == ""


def test_it_writes_the_files_of_this_project(tmp_path):
    run(tmp_path)
    for name in ("cluster.yaml", "users.json"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("name", ["cluster.yaml", "users.json"])
def test_what_is_there_is_kept_and_nothing_else_is_written(tmp_path, name):
    (tmp_path / name).write_text("mine")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert f"{name} is there already; nothing was written" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "shop").write_text("")
    assert run(tmp_path / "shop").exit_code == 2
