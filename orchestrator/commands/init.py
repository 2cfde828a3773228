"""`cluster init`: a cluster.yaml and a users.json to start from."""

from importlib.resources import files
from pathlib import Path

import click

from orchestrator.commands.options import output_option
from orchestrator.console.outcome import tell

_CHECKOUT = Path(__file__).parent.parent.parent
_FILES = ("cluster.yaml", "users.json")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@output_option
def init(*, folder: Path, output: str) -> None:
    """Write a commented cluster.yaml and a users.json into FOLDER (made if it is not there).

    \b
    Examples:
      cluster init shop
      cd shop && cluster up
    """
    for name in _FILES:
        if (folder / name).exists():
            raise click.ClickException(f"{folder / name} is there already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (folder / name).write_bytes(_read_template(name))
    written = [str(folder / name) for name in _FILES]
    said = f"Wrote {' and '.join(written)}.\nChange ports and users as you like, then run `cluster up` there."
    tell(output, said, written=written)


def _read_template(name: str) -> bytes:
    """Return a file as the package ships it; a checkout has it at the top."""
    packaged = files("orchestrator") / "templates" / name
    return packaged.read_bytes() if packaged.is_file() else (_CHECKOUT / name).read_bytes()
