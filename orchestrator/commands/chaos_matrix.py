"""`cluster chaos matrix`: every crash point, under a running load, in a cluster of its own."""

import json
import sys
import tempfile
from pathlib import Path

import click

from orchestrator.commands.options import output_option
from orchestrator.console.exit_codes import FAILED, OK


@click.command()
@click.option(
    "--points",
    "patterns",
    multiple=True,
    metavar="GLOB",
    help="Only points whose names match; several times for more.",
)
@click.option("--seed", default=0, show_default=True, help="Draws at which bank, and at which time.")
@click.option("--every-bank", is_flag=True, help="Crash each bank at each point, not one drawn by lot.")
@output_option
def matrix(*, patterns: tuple[str, ...], seed: int, every_bank: bool, output: str) -> None:
    """Crash at every point while payments run, and judge what comes of each.

    In a cluster of its own, on free ports and in a folder that goes with it: nothing that
    runs here already is touched. After each crash the cluster must serve again, nothing may
    stay in doubt, no money may be made or lost, and all that callers were told must still be
    true, by its id and when it is sent again. At the end all files are audited. Takes some
    seconds a point; exits 1 if a point was not reached, or anything is wrong.

    \b
    Examples:
      cluster chaos matrix
      cluster chaos matrix --points "gateway.decision.*"
      cluster chaos matrix --every-bank --seed 7 -o json
    """
    from orchestrator.lifecycle.scratch import scratch_folder
    from orchestrator.matrix.cells import is_any_point, make_cells
    from orchestrator.matrix.ground import SHAPE, Ground
    from orchestrator.matrix.running import Matrix
    from orchestrator.matrix.view import make_document, show_head, show_row, summarise

    patterns = patterns or ("*",)
    if not is_any_point(patterns):
        raise click.ClickException(
            f"no crash point matches {' or '.join(patterns)}; `cluster chaos points` lists all"
        )
    is_table = output != "json"
    with scratch_folder(Path(tempfile.gettempdir()), "matrix") as scratch:
        main, fresh = (Ground(scratch.make_cluster(SHAPE, at)) for at in ("main", "fresh"))
        crashes = list(make_cells(main.config, patterns, seed, every_bank=every_bank))
        if is_table:
            show_head()
        run = Matrix(main, fresh, show_row if is_table else lambda _: None)
        rows, findings = run.run(crashes)
    if is_table:
        for finding in findings:
            click.echo(click.style(finding, fg="red"))
        click.echo(summarise(rows, findings, run.told_count))
    else:
        click.echo(json.dumps(make_document(rows, findings, seed), indent=2))
    sys.exit(OK if all(row.is_good for row in rows) and not findings else FAILED)
