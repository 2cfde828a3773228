"""Spawning, watching and reaping, with small real processes."""
# ruff: noqa: ASYNC240 - nobody else waits for a test's loop

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from orchestrator.supervision.processes import OUTPUT_MAX_BYTES, Lifeline, Process, spawn, trim_output
from tests.orchestrator.cluster_of_fakes import is_alive, wait_until

pytestmark = pytest.mark.cluster

DEADLINE_S = 10.0
SLEEP = ["sleep", "600"]


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    lifeline = Lifeline()
    yield lifeline
    lifeline.close()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "node.stderr"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


async def end_of(process: Process) -> int:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    process.watch(ended.set_result)
    return await asyncio.wait_for(ended, DEADLINE_S)


async def test_the_exit_code_is_reported_and_no_zombie_stays(lifeline: Lifeline, output: Path) -> None:
    process = spawn(python("raise SystemExit(78)"), output=output, lifeline_fd=lifeline.read_fd)
    assert await end_of(process) == 78
    assert not psutil.pid_exists(process.pid)


async def test_the_signal_is_reported_below_zero(lifeline: Lifeline, output: Path) -> None:
    process = spawn(SLEEP, output=output, lifeline_fd=lifeline.read_fd)
    process.kill()
    assert await end_of(process) == -9


async def test_a_frozen_process_can_be_killed(lifeline: Lifeline, output: Path) -> None:
    process = spawn(SLEEP, output=output, lifeline_fd=lifeline.read_fd)
    process.pause()
    process.kill()
    assert await end_of(process) == -9


async def test_a_frozen_process_can_end_when_asked_to(lifeline: Lifeline, output: Path) -> None:
    process = spawn(SLEEP, output=output, lifeline_fd=lifeline.read_fd)
    process.pause()
    # Of two signals that meet a process before it runs, it would take the lower one first.
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it is frozen")
    process.terminate()
    assert await end_of(process) == -15


async def test_once_reaped_a_process_is_never_signalled_again(
    lifeline: Lifeline, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = spawn(["true"], output=output, lifeline_fd=lifeline.read_fd)
    await end_of(process)
    # As if the number had been given to a stranger.
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a stranger was signalled"))
    process.kill()
    process.terminate()
    process.pause()
    process.resume()


async def test_the_group_ends_with_its_leader(lifeline: Lifeline, output: Path) -> None:
    code = "import subprocess as s; print(s.Popen(['sleep', '600']).pid, flush=True)"
    process = spawn(python(code), output=output, lifeline_fd=lifeline.read_fd)
    assert await end_of(process) == 0
    grandchild = int(process.last_lines(1)[0])
    wait_until(lambda: not is_alive(grandchild), "the grandchild has ended")


async def test_each_process_leads_a_group_of_its_own(lifeline: Lifeline, output: Path) -> None:
    process = spawn(SLEEP, output=output, lifeline_fd=lifeline.read_fd)
    assert os.getpgid(process.pid) == process.pid
    assert os.getsid(process.pid) == process.pid
    process.kill()
    await end_of(process)


async def test_the_lifelines_end_is_seen_by_the_child(output: Path) -> None:
    lifeline = Lifeline()
    code = f"import os; os.read({lifeline.read_fd}, 1); raise SystemExit(7)"
    process = spawn(python(code), output=output, lifeline_fd=lifeline.read_fd)
    lifeline.close()
    assert await end_of(process) == 7


async def test_a_child_holds_no_descriptor_but_its_own(lifeline: Lifeline, output: Path) -> None:
    secret_fd = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret_fd, True)
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    process = spawn(python(code), output=output, lifeline_fd=lifeline.read_fd)
    os.close(secret_fd)
    await end_of(process)
    # One more is that of the listing itself.
    held = set(map(int, process.last_lines(1)[0].strip("[]").split(",")))
    assert {0, 1, 2, lifeline.read_fd} <= held
    assert len(held) == 5


async def test_the_operators_password_is_not_passed_on(
    lifeline: Lifeline, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_PASSWORD", "alice123")
    process = spawn(["env"], output=output, lifeline_fd=lifeline.read_fd)
    await end_of(process)
    assert "alice123" not in output.read_text()


def test_what_cannot_be_started_is_an_error_with_its_name(lifeline: Lifeline, output: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        spawn(["no-such-program"], output=output, lifeline_fd=lifeline.read_fd)


async def test_last_lines_are_those_of_this_start(lifeline: Lifeline, output: Path) -> None:
    output.write_text("of an earlier start\n")
    process = spawn(python("print(1); print(2); print(3)"), output=output, lifeline_fd=lifeline.read_fd)
    await end_of(process)
    assert process.last_lines(2) == ["2", "3"]
    assert process.last_lines(9) == ["1", "2", "3"]
    assert output.read_text().startswith("of an earlier start")


async def test_a_crash_loop_cannot_fill_the_disk(lifeline: Lifeline, output: Path) -> None:
    for _ in range(6):
        shout = python(f"print('x' * 99 + '\\n' * ({OUTPUT_MAX_BYTES} // 2))")
        await end_of(spawn(shout, output=output, lifeline_fd=lifeline.read_fd))
        assert output.stat().st_size < 2 * OUTPUT_MAX_BYTES


def test_a_trimmed_file_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "node.stderr"
    with path.open("ab", buffering=0) as writer:
        for number in range(OUTPUT_MAX_BYTES // 10):
            writer.write(b"line %8d\n" % number)
        trim_output(path)
        writer.write(b"and on\n")
    lines = path.read_bytes().splitlines()
    assert lines[-2:] == [b"line %8d" % (OUTPUT_MAX_BYTES // 10 - 1), b"and on"]
    assert lines[0].startswith(b"line ")
    assert path.stat().st_size < OUTPUT_MAX_BYTES / 2


async def test_usage_is_measured(lifeline: Lifeline, output: Path) -> None:
    process = spawn(SLEEP, output=output, lifeline_fd=lifeline.read_fd)
    assert process.usage().rss_bytes > 0
    process.kill()
    await end_of(process)
    assert process.usage() == (0.0, 0)


def test_output_is_readable_by_its_owner_alone(lifeline: Lifeline, output: Path) -> None:
    async def run() -> None:
        await end_of(spawn(["true"], output=output, lifeline_fd=lifeline.read_fd))

    asyncio.run(run())
    assert output.stat().st_mode & 0o777 == 0o600


async def test_a_child_that_could_print_nothing_on_a_full_disk_is_explained(
    lifeline: Lifeline, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = spawn(python("raise SystemExit(1)"), output=output, lifeline_fd=lifeline.read_fd)
    assert await end_of(process) == 1
    assert process.last_lines(10) == []
    monkeypatch.setattr("orchestrator.supervision.processes.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    [line] = process.last_lines(10)
    assert f"the disk of {output.parent} is full" in line
