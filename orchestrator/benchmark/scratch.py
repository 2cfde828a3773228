"""A cluster of the benchmark's own: made for one load, with the past that the load asks for."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodes.core.audit import Report
from orchestrator.benchmark.loads import Load
from orchestrator.benchmark.target import Target
from orchestrator.inspection.auditing import audit_files
from orchestrator.lifecycle.scratch import ScratchCluster, Shape, scratch_folder
from orchestrator.lifecycle.starting import CannotStart

_OPENING = "10,000,000,000.00"


@contextmanager
def scratch_target(load: Load, parent: Path) -> Iterator[Target]:
    """Give a cluster for a load, all of it serving, as `scratch_folder` does. Raises `CannotStart`."""
    payers = [f"payer-{number}" for number in range(load.payers)]
    banks = [f"BANK{number:02}" for number in range(1, load.banks + 1)]
    shape = Shape("bench.local", banks, dict.fromkeys(payers, _OPENING), "liveness: {hung_after: 5m}")
    with scratch_folder(parent, "bench") as scratch:
        cluster = scratch.make_cluster(shape)
        cluster.up(lambda: _preload(cluster, load))
        yield Target(
            cluster.config, cluster.folder, payers, load.payees, banks, cluster.password, lambda: _audit(cluster)
        )


def _audit(cluster: ScratchCluster) -> Report:
    """Audit the files: faster than asking the nodes, and what counts is what lies on the disk."""
    cluster.down()
    return audit_files(cluster.folder, cluster.config.banks)


def _preload(cluster: ScratchCluster, load: Load) -> None:
    """Open the payees' accounts, and write what was paid before; raises `CannotStart`."""
    folder = cluster.folder
    command = [
        sys.executable,
        "-P",
        "-m",
        "nodes.preload",
        f"--payees={load.payees}",
        f"--payments={load.history}",
        f"--gateway={folder.database('gateway')}",
        f"--transactions={folder.logs / 'transactions.json'}",
        f"--lifeline-fd={cluster.lifeline_fd}",
    ]
    for bank in cluster.config.banks:
        command += ["--bank", bank, str(folder.database(bank)), str(folder.accounts(bank))]
    done = subprocess.run(  # noqa: S603 - a program of our own
        command, stderr=subprocess.PIPE, pass_fds=(cluster.lifeline_fd,), text=True, check=False
    )
    if done.returncode:
        raise CannotStart(f"no history could be written: {done.stderr.strip()}")
