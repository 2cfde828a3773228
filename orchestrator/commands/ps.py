"""`cluster ps`: the processes of the cluster, as the system sees them."""

import shlex
from collections.abc import Iterator
from datetime import datetime

import click
import psutil

from orchestrator.commands.options import folder_option
from orchestrator.control import ask
from orchestrator.folder import ClusterFolder

_HEADER: tuple[str, ...] = ("NAME", "PID", "STATE", "STARTED", "THREADS", "FILES", "CPU TIME", "RSS", "COMMAND")
_COMMAND_WIDTH = 60


@click.command()
@folder_option
def ps(folder: ClusterFolder) -> None:
    """Show the processes of this cluster: the supervisor, its prober, and the nodes."""
    answer = ask(folder.control_socket, {"do": "status"})
    names = {node["pid"]: node["name"] for node in answer["nodes"] if node["pid"] is not None}
    supervisor = psutil.Process(answer["supervisor"]["pid"])
    names[supervisor.pid] = "supervisor"
    rows = [_HEADER]
    for process in [supervisor, *supervisor.children(recursive=True)]:
        rows += _describe(process, names.get(process.pid, "prober"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _describe(process: psutil.Process, name: str) -> Iterator[tuple[str, ...]]:
    try:
        with process.oneshot():
            times = process.cpu_times()
            yield (
                name,
                str(process.pid),
                process.status(),
                datetime.fromtimestamp(process.create_time()).astimezone().strftime("%H:%M:%S"),
                str(process.num_threads()),
                str(process.num_fds()),
                f"{times.user + times.system:.2f} s",
                f"{process.memory_info().rss / 2**20:.0f} MB",
                shlex.join(process.cmdline())[:_COMMAND_WIDTH],
            )
    except psutil.Error:
        # It has just ended, or another has its name; then there is nothing to show.
        return
