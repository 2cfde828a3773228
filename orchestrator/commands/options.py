"""Options that many commands share."""

import re
from pathlib import Path
from typing import Any

import click

from orchestrator.layout.folder import ClusterFolder, find_config

_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)")
_SENTENCE_MAX = 1000
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a duration; write 500ms, 30s, 5m or 1h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


DURATION = _Duration()
"""Seconds, from ``500ms``, ``30s``, ``5m`` or ``1h``."""


class Group(click.Group):
    """Commands of one kind, each with its whole line in the help; click cuts them at the edge of a terminal."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        lines = [(name, command.get_short_help_str(limit=_SENTENCE_MAX)) for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


def open_folder(_: click.Context, __: click.Parameter, file: Path) -> ClusterFolder:
    """Do as `demand_folder`; the callback of `folder_option`."""
    return demand_folder(file)


def demand_folder(file: Path) -> ClusterFolder:
    """Return the folder of a cluster.yaml, which must exist."""
    if not file.is_file():
        raise click.ClickException(
            f"{file} does not exist; run this in the cluster's folder or give --file; "
            "`cluster init` makes a new one"
        )
    return ClusterFolder(file.parent, file.name)


FILE: dict[str, Any] = {
    "default": find_config,
    "show_default": "cluster.yaml here or above, else beside ./cluster",
    "type": click.Path(path_type=Path, resolve_path=True),
    "envvar": "CLUSTER_FILE",
    "metavar": "FILE",
    "help": "The cluster's configuration; what it makes lies beside it.",
}
"""What every option that names the configuration has in common."""

folder_option = click.option("--file", "folder", callback=open_folder, **FILE)
"""``--file FILE``, given to the command as the `ClusterFolder` that it lies in."""

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True
)
"""``-o table|wide|json``."""
