"""What `cluster doctor` looks at: each check says what it found and what to do about it."""

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.inspection.drift import find_drift, find_strays
from orchestrator.layout.accounts import AccountsMistaken, read_users
from orchestrator.layout.config import ClusterConfig, ConfigMistaken, load
from orchestrator.layout.files import find_half_written
from orchestrator.layout.folder import ClusterFolder

_DISK_FREE_LOW = 1024**3
_DESCRIPTORS_LOW = 1024
_PYTHON_MIN = (3, 11)
_SQLITE_MIN = (3, 51, 3)
_ANEW = "`cluster certs rotate` makes it anew; of a cluster that is down, `cluster up`"


class Finding(NamedTuple):
    """What a check found. ``verdict`` is ok, warn or fail; ``advice`` says what to do, if anything."""

    check: str
    verdict: str
    found: str
    advice: str = ""


def examine(folder: ClusterFolder) -> Iterator[Finding]:
    """Look at everything; a check that needs a good configuration is left out when there is none."""
    yield _check_python()
    yield _check_sqlite()
    yield _check_disk(folder)
    yield _check_descriptors()
    try:
        config = load(folder.config)
    except ConfigMistaken as error:
        for line in str(error).splitlines():
            yield Finding("configuration", "fail", line, "correct cluster.yaml")
        return
    yield Finding("configuration", "ok", f"{config.name}: a gateway and {len(config.banks)} banks")
    yield from _check_users(config)
    yield from _check_certificates(config, folder)
    yield from _check_ports(config, folder)
    yield from _check_running(config, folder)
    yield from _check_leftovers(config, folder)


def _check_python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON_MIN:
        return Finding("python", "fail", found, "install Python 3.11 or newer")
    return Finding("python", "ok", found)


def _check_sqlite() -> Finding:
    import apsw

    found = apsw.sqlite_lib_version()
    if tuple(map(int, found.split("."))) < _SQLITE_MIN:
        return Finding("sqlite", "fail", found, "can lose commits; install a newer apsw")
    return Finding("sqlite", "ok", found)


def _check_disk(folder: ClusterFolder) -> Finding:
    free = shutil.disk_usage(folder.root).free
    found = f"{free / 1024**3:.1f} GiB free at {folder.root}"
    if not os.access(folder.root, os.W_OK):
        return Finding("disk", "fail", f"{folder.root} cannot be written", "make it writable for you")
    if free < _DISK_FREE_LOW:
        return Finding(
            "disk", "warn", found, "make room: a node whose disk is full serves nobody until there is some"
        )
    return Finding("disk", "ok", found)


def _check_descriptors() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < _DESCRIPTORS_LOW:
        return Finding("open files", "warn", f"at most {limit}", "raise it: ulimit -n 4096")
    return Finding("open files", "ok", f"at most {limit}")


def _check_users(config: ClusterConfig) -> Iterator[Finding]:
    from orchestrator.layout.demo_passwords import find_demo_users

    try:
        users = read_users(config)
    except AccountsMistaken as error:
        for line in str(error).splitlines():
            yield Finding("users", "fail", line, f"correct {config.users.name}")
        return
    yield Finding("users", "ok", f"{len(users)} users")
    known = find_demo_users(config)
    if known:
        advice = "fine for trying out; else `cluster user hash-password` makes new hashes"
        yield Finding("passwords", "warn", f"well-known demo passwords: {', '.join(known)}", advice)


def _check_certificates(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Finding]:
    from nodes.runtime.revocations import RevocationsUnusable
    from orchestrator.identity.certificates import RENEWED_BEFORE, REVOKED, list_certificates

    if not folder.certs.exists():
        yield Finding("certificates", "ok", "none yet", "`cluster up` makes them")
        return
    try:
        listed = list_certificates(folder, config)
    except RevocationsUnusable as error:
        yield Finding("revocations", "fail", str(error), "until then no node starts")
        return
    for row in listed:
        if row.fault == REVOKED:
            advice = f"`cluster certs rotate {row.name}` issues a successor"
            yield Finding("certificates", "warn", f"{row.name}: {REVOKED}", advice)
        elif row.fault:
            yield Finding("certificates", "warn", f"{row.name}: {row.fault}", _ANEW)
        elif row.days_left < RENEWED_BEFORE.days:
            yield Finding("certificates", "warn", f"{row.name}: {row.days_left} days left", _ANEW)
        else:
            yield Finding("certificates", "ok", f"{row.name}: {row.days_left} days left")
    for key in sorted(folder.certs.rglob("*.key")):
        if key.stat().st_mode & 0o077:
            yield Finding(
                "keys", "fail", f"{key} can be read by others", "`cluster down`, then `cluster up` closes it"
            )


def _check_ports(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Finding]:
    from orchestrator.layout.ports import find_trouble
    from orchestrator.supervision.lock import is_held

    if is_held(folder.supervisor_lock):
        yield Finding("ports", "ok", "held by this cluster, which is up")
        return
    addresses = [config.gateway.address, *(bank.address for bank in config.banks.values())]
    for address in addresses:
        trouble = find_trouble(address)
        if trouble:
            yield Finding("ports", "fail", trouble, "stop that process, or change the port in cluster.yaml")
        else:
            yield Finding("ports", "ok", f"{address} is free")


def _check_running(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Finding]:
    from orchestrator.inspection.cluster_state import describe_nodes

    for line in find_drift(config, describe_nodes(folder)):
        yield Finding("configuration", "warn", *line.split(": ", 1))


def _check_leftovers(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Finding]:
    """Look for what a crash, or a bank that is no more, left behind."""
    from orchestrator.supervision.lock import is_held

    found = [
        *((path, "is half written; remove it") for path in find_half_written(folder.certs, folder.state)),
        *(
            (path, "is of no bank in cluster.yaml; move it away, or add the bank")
            for path in find_strays(config, folder)
        ),
    ]
    if folder.control_socket.exists() and not is_held(folder.supervisor_lock):
        found.append((folder.control_socket, "is of a supervisor that was killed; `cluster up` replaces it"))
    for path, advice in found:
        yield Finding("leftovers", "warn", str(path), advice)
    if not found:
        yield Finding("leftovers", "ok", "none")
