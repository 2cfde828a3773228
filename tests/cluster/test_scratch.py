"""Commands that make clusters for themselves: killed with -9, they leave nothing that runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import SupervisorAway, SupervisorSilent, ask
from tests.running_cluster import processes_of
from tests.running_nodes import ROOT, wait_until

pytestmark = pytest.mark.cluster
DEADLINE_S = 60.0


class Command:
    """A `cluster` command that runs, with all that it makes below ``folder``."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._folder = folder
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "TMPDIR": str(folder)}
        with (folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", *words], env=environment, stdout=said, stderr=said
            )

    def wait_for_child(self, program: str) -> None:
        """Return when the command itself runs a program."""
        self._wait(lambda: any(program in words for words in self._children()), program)

    def wait_for_cluster(self) -> list[int]:
        """Return the supervisor and the nodes of its cluster, once all serve."""
        found: list[int] = []

        def is_found() -> bool:
            found[:] = self._find_serving()
            return bool(found)

        self._wait(is_found, "a cluster that serves")
        return found

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        def is_so_or_over() -> bool:
            assert self._process.poll() is None, (self._folder / "said").read_text()
            return is_so()

        wait_until(is_so_or_over, what, DEADLINE_S)

    def _children(self) -> list[list[str]]:
        return [child.cmdline() for child in psutil.Process(self._process.pid).children()]

    def _find_serving(self) -> list[int]:
        for config in self._folder.glob("cluster-*/**/cluster.yaml"):
            try:
                answer = ask(ClusterFolder(config.parent).control_socket, {"do": "status"})
            except (SupervisorAway, SupervisorSilent):
                continue
            if all(node["is_ready"] for node in answer["nodes"]):
                return [answer["supervisor"]["pid"], *(node["pid"] for node in answer["nodes"])]
        return []

    def kill(self, *more: int) -> None:
        """Kill the command with -9; return when it, what it has started, and ``more`` with theirs, are gone."""
        elders = [psutil.Process(pid) for pid in (self._process.pid, *more)]
        family = {process for elder in elders for process in (elder, *elder.children(recursive=True))}
        self._process.kill()
        self._process.wait()

        def find_left() -> list[int]:
            return [process.pid for process in family if is_alive(process)] or processes_of(self._folder)

        try:
            wait_until(lambda: not find_left(), "all gone", DEADLINE_S)
        except AssertionError as error:
            left = find_left()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"these processes are left: {left}") from error

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    begun: list[Command] = []

    def begin(*words: str) -> Command:
        begun.append(Command(tmp_path, *(word.format(folder=tmp_path) for word in words)))
        return begun[-1]

    yield begin
    for command in begun:
        command.close()


@pytest.mark.parametrize(
    ("words", "nodes", "child"),
    [
        ("bench --load one --for 10m --scratch {folder}", 3, "orchestrator.benchmark.generator"),
        ("chaos run --for 10m --every 9m --scratch {folder}", 4, "orchestrator.campaign.courier"),
        ("chaos matrix --points client.*", 4, "shell"),
    ],
    ids=["bench", "campaign", "matrix"],
)
def test_no_process_of_a_cluster_outlives_the_command_that_made_it_for_itself(begin, words, nodes, child):
    command = begin(*words.split())
    serving = command.wait_for_cluster()
    assert len(serving) == 1 + nodes
    command.wait_for_child(child)
    command.kill(*serving)


def test_the_writing_of_a_past_ends_with_the_bench_that_asked_for_it(begin):
    command = begin(*["bench", "--load", "history", "--history", "100000000", "--scratch", "{folder}"])
    command.wait_for_child("nodes.preload")
    command.kill()
