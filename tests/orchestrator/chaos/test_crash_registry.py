"""The list of crash points is the source's: none is missing, none is made up, each is told once."""

import ast
from pathlib import Path

import pytest

from orchestrator.chaos.crash_registry import POINTS, Provocation, Store

ROOT = Path(__file__).parent.parent.parent.parent
PROCESSES = {"gateway", "bank", "node", "store", "client", "supervisor", "up", "down"}
NAMES = [point.name for point in POINTS]


def reached() -> list[str]:
    """Return the name at each ``reach(...)`` of the source; both of ``reach("a" if so else "b")``."""
    found = []
    for path in [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "orchestrator").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach":
                found += _names(node.args[0], path)
    return found


def _names(argument: ast.expr, path: Path) -> list[str]:
    if isinstance(argument, ast.IfExp):
        return [*_names(argument.body, path), *_names(argument.orelse, path)]
    assert isinstance(argument, ast.Constant), f"{path}: a crash point's name must be written out"
    return [argument.value]


def test_every_point_of_the_source_is_listed_and_every_listed_point_is_in_the_source():
    assert sorted(reached()) == sorted(NAMES)


def test_no_two_points_have_one_name():
    assert len(set(NAMES)) == len(NAMES)


def test_there_are_many_points_and_some_in_each_process():
    assert len(POINTS) >= 60
    assert {point.process for point in POINTS} == PROCESSES


@pytest.mark.parametrize("point", POINTS, ids=NAMES)
def test_a_point_says_what_it_is_about_in_one_line(point):
    assert 10 < len(point.description) < 80
    assert "\n" not in point.description
    assert isinstance(point.provoked_by, Provocation)


def test_errors_of_a_store_strike_only_where_it_writes():
    by_store = {point.store: point.actions for point in POINTS}
    assert by_store[Store.NONE] == ("kill", "raise", "sleep")
    assert by_store[Store.WRITING] == ("kill", "raise", "sleep", "full", "io-error")
    assert by_store[Store.COMMITTED] == ("kill", "raise", "sleep", "commit-then-error")
