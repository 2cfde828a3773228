"""`cluster ps`: the processes of the cluster, as the system sees them."""

import json
import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import click
import psutil

from orchestrator.commands.options import folder_option, output_option
from orchestrator.console.text_table import format_columns
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import ask

_HEADER = ("NAME", "PID", "STATE", "STARTED", "THREADS", "FILES", "CPU TIME", "RSS", "COMMAND")
_COMMAND_WIDTH = 60


class _Row(NamedTuple):
    name: str
    pid: int
    state: str
    started_at: str
    threads: int
    files: int
    cpu_s: float
    rss_bytes: int
    command: str


@click.command()
@output_option
@folder_option
def ps(*, output: str, folder: ClusterFolder) -> None:
    """Show the processes of this cluster: the supervisor, its prober, and the nodes.

    \b
    Examples:
      cluster ps
      cluster ps -o wide            with the whole command lines
    """
    answer = ask(folder.control_socket, {"do": "status"})
    names = {node["pid"]: node["name"] for node in answer["nodes"] if node["pid"] is not None}
    supervisor = psutil.Process(answer["supervisor"]["pid"])
    names[supervisor.pid] = "supervisor"
    processes = [supervisor, *supervisor.children(recursive=True)]
    rows = [row for process in processes for row in _describe(process, names.get(process.pid, "prober"))]
    if output == "json":
        click.echo(json.dumps({"processes": [row._asdict() for row in rows]}, indent=2))
        return
    width = None if output == "wide" else _COMMAND_WIDTH
    click.echo("\n".join(format_columns([_HEADER, *(_show(row, width) for row in rows)])))


def _describe(process: psutil.Process, name: str) -> Iterator[_Row]:
    try:
        with process.oneshot():
            times = process.cpu_times()
            yield _Row(
                name=name,
                pid=process.pid,
                state=process.status(),
                started_at=datetime.fromtimestamp(process.create_time()).astimezone().isoformat(),
                threads=process.num_threads(),
                files=process.num_fds(),
                cpu_s=round(times.user + times.system, 2),
                rss_bytes=process.memory_info().rss,
                command=shlex.join(process.cmdline()),
            )
    except psutil.Error:
        # It has just ended, or another has its name; then there is nothing to show.
        return


def _show(row: _Row, command_width: int | None) -> tuple[str, ...]:
    started = datetime.fromisoformat(row.started_at).strftime("%H:%M:%S")
    numbers = str(row.threads), str(row.files), f"{row.cpu_s:.2f} s", f"{row.rss_bytes / 2**20:.0f} MB"
    return row.name, str(row.pid), row.state, started, *numbers, row.command[:command_width]
