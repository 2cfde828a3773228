"""The plan for the supervisor, from cluster.yaml and the folder it lies in.

Nodes get flags only: their command lines are written here, and nowhere else.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from types import MappingProxyType

from nodes.core.names import Identity, PeerKind
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.links.addresses import GATEWAY, Link
from orchestrator.supervision.plan import Launch, Plan
from orchestrator.supervision.policy import Limits


def make_plan(
    config: ClusterConfig, folder: ClusterFolder, ends: Mapping[str, datetime | None] = MappingProxyType({})
) -> Plan:
    """Return what the supervisor of this folder is to keep running: the gateway, then the banks.

    ``ends`` tells when each node's certificate ends, by the node's name.
    """
    launches = [_launch_gateway(config, folder), *(_launch_bank(config, folder, name) for name in config.banks)]
    return Plan(
        launches=tuple(_note_end(launch, ends.get(launch.name)) for launch in launches),
        limits=_read_limits(config),
        prober=_program(
            "orchestrator.supervision.prober",
            ca=folder.ca_certificate,
            certificate=folder.operator_certificate,
            key=folder.operator_key,
            interval=config.liveness.interval_s,
        ),
        renewer=(sys.executable, "-P", "-m", "orchestrator", "certs", "renew", "--file", str(folder.config)),
        prober_output=str(folder.logs / "prober.stderr"),
        lock=str(folder.supervisor_lock),
        socket=str(folder.control_socket),
        journal=str(folder.logs / "supervisor.log"),
        crash_order=str(folder.crash_order("supervisor")) if config.is_test else "",
        links=config.links,
        proxy=command_proxy(config.links),
        proxy_output=str(folder.logs / "proxy.stderr"),
    )


def _read_limits(config: ClusterConfig) -> Limits:
    restart = config.restart
    return Limits(
        backoff_s=restart.backoff_s,
        max_backoff_s=restart.max_backoff_s,
        give_up_starts=restart.give_up_starts,
        give_up_window_s=restart.give_up_window_s,
        hung_after_s=config.liveness.hung_after_s,
    )


def command_proxy(links: Sequence[Link]) -> tuple[str, ...]:
    """Return the command line of the proxy; empty if there are no links."""
    flags = [("--link", link.dialler, link.server, link.address, link.target) for link in links]
    return (*_program("orchestrator.links.proxy"), *chain.from_iterable(flags)) if links else ()


def _launch_gateway(config: ClusterConfig, folder: ClusterFolder) -> Launch:
    address = config.gateway.address
    command = _program(
        "nodes.gateway",
        listen=address,
        database=folder.database("gateway"),
        users=config.users,
        token_key=folder.token_key,
        ca=folder.ca_certificate,
        certificate=folder.gateway_certificate,
        key=folder.gateway_key,
        revoked=folder.revoked,
        log=folder.logs / "gateway.log",
        transactions=folder.logs / "transactions.json",
        audit=folder.logs / "audit.log",
        payment_timeout=f"{config.gateway.payment_timeout_s:g}s",
        **_test_flags(config, folder, "gateway"),
    )
    return _launch("gateway", Identity(config.name, PeerKind.GATEWAY), address, command, folder)


def _launch_bank(config: ClusterConfig, folder: ClusterFolder, name: str) -> Launch:
    address = config.banks[name].address
    command = _program(
        "nodes.bank",
        name=name,
        listen=address,
        advertise=config.address_for(GATEWAY, name),
        gateway=config.address_for(name, GATEWAY),
        database=folder.database(name),
        accounts=folder.accounts(name),
        ca=folder.ca_certificate,
        certificate=folder.bank_certificate(name),
        key=folder.bank_key(name),
        revoked=folder.revoked,
        log=folder.logs / f"{name}.log",
        audit=folder.logs / f"{name}.audit.log",
        **_test_flags(config, folder, name),
    )
    return _launch(name, Identity(config.name, PeerKind.BANK, name), address, command, folder)


def _test_flags(config: ClusterConfig, folder: ClusterFolder, node: str) -> dict[str, object]:
    return {"crash_points": folder.crash_order(node)} if config.is_test else {}


def _launch(
    name: str, identity: Identity, address: str, command: tuple[str, ...], folder: ClusterFolder
) -> Launch:
    return Launch(
        name=name,
        role=identity.kind.name.lower(),
        address=address,
        tls_name=identity.tls_name,
        command=command,
        output=str(folder.logs / f"{name}.stderr"),
    )


def _note_end(launch: Launch, ends_at: datetime | None) -> Launch:
    return replace(launch, certificate_ends_at=ends_at.isoformat()) if ends_at is not None else launch


def _program(module: str, **flags: object) -> tuple[str, ...]:
    # -P: nothing in the folder that the program happens to be started in can take a module's place.
    words = [sys.executable, "-P", "-m", module]
    for name, value in flags.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)
