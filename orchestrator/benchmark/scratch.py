"""A cluster of the benchmark's own: made for one load, on free ports, in a folder that goes with it."""

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodes.core.audit import Report
from nodes.runtime.passwords import hash_password
from orchestrator.benchmark.loads import Load
from orchestrator.benchmark.target import Target
from orchestrator.inspection.auditing import audit_files
from orchestrator.layout.config import ClusterConfig, load
from orchestrator.layout.folder import CONFIG_NAME, ClusterFolder
from orchestrator.layout.ports import find_free_ports
from orchestrator.lifecycle.preparing import prepare
from orchestrator.lifecycle.starting import CannotStart, NotInTime, join_or_start, wait_for
from orchestrator.lifecycle.stopping import stop_cluster
from orchestrator.supervision.plan import Plan

_UP_WITHIN_S = 120.0
_OPENING = "10,000,000,000.00"
_CONFIG = """name: bench.local
gateway: {{address: localhost:{port}}}
liveness: {{hung_after: 5m}}
banks:
{banks}
"""


@contextmanager
def scratch_cluster(load: Load, parent: Path) -> Iterator[Target]:
    """Give a cluster for a load, all of it serving; it is stopped, and its folder removed, at the end.

    When what is done with it fails, the folder is kept and named in a note of the
    error. Raises `CannotStart`.
    """
    root = Path(tempfile.mkdtemp(prefix="cluster-bench-", dir=parent))
    folder = ClusterFolder(root)
    try:
        yield _start(load, folder)
    except Exception as error:
        stop_cluster(folder.control_socket)
        error.add_note(f"the cluster's folder is kept: {root}")
        raise
    except BaseException:
        _remove(folder)
        raise
    _remove(folder)


def _remove(folder: ClusterFolder) -> None:
    stop_cluster(folder.control_socket)
    shutil.rmtree(folder.root)


def _start(load: Load, folder: ClusterFolder) -> Target:
    password = secrets.token_hex(16)
    payers = [f"payer-{number}" for number in range(load.payers)]
    banks = [f"BANK{number:02}" for number in range(1, load.banks + 1)]
    config = _write_files(folder, banks, payers, hash_password(password))
    join_or_start(folder.control_socket, lambda: _prepare(config, folder, load), within_s=_UP_WITHIN_S)
    try:
        wait_for(folder.control_socket, lambda nodes: all(n["is_ready"] for n in nodes), within_s=_UP_WITHIN_S)
    except NotInTime as late:
        missing = ", ".join(node["name"] for node in late.nodes if not node["is_ready"])
        raise CannotStart(f"{missing} did not serve within {_UP_WITHIN_S:g} s") from late
    return Target(config, folder, payers, load.payees, banks, password, lambda: _stop_and_audit(folder, banks))


def _stop_and_audit(folder: ClusterFolder, banks: list[str]) -> Report:
    """Audit the files: faster than asking the nodes, and what counts is what lies on the disk."""
    stop_cluster(folder.control_socket)
    return audit_files(folder, banks)


def _write_files(folder: ClusterFolder, banks: list[str], users: list[str], password_hash: str) -> ClusterConfig:
    port, *bank_ports = find_free_ports(1 + len(banks))
    lines = [
        f"  {bank}: {{address: localhost:{bank_port}}}" for bank, bank_port in zip(banks, bank_ports, strict=True)
    ]
    folder.config.write_text(_CONFIG.format(port=port, banks="\n".join(lines)))
    accounts = dict.fromkeys(banks, _OPENING)
    known = {"role": "customer", "password_hash": password_hash, "accounts": accounts}
    (folder.root / "users.json").write_text(json.dumps({"users": [{"name": user, **known} for user in users]}))
    return load(folder.root / CONFIG_NAME)


def _prepare(config: ClusterConfig, folder: ClusterFolder, load: Load) -> Plan:
    plan = prepare(config, folder)
    _preload(config, folder, load)
    return plan


def _preload(config: ClusterConfig, folder: ClusterFolder, load: Load) -> None:
    """Open the payees' accounts, and write what was paid before; raises `CannotStart`."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "nodes.preload",
        f"--payees={load.payees}",
        f"--payments={load.history}",
    ]
    command += [f"--gateway={folder.database('gateway')}", f"--transactions={folder.logs / 'transactions.json'}"]
    for bank in config.banks:
        command += ["--bank", bank, str(folder.database(bank)), str(folder.accounts(bank))]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - a program of our own
    if done.returncode:
        raise CannotStart(f"no history could be written: {done.stderr.strip()}")
