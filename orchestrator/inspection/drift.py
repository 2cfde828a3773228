"""Where the cluster that runs is not the one that cluster.yaml describes: the file was changed since `up`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodes.core.names import is_bank_name
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder

_TAKEN = "`cluster down`, then `cluster up` takes what cluster.yaml says"


def find_drift(config: ClusterConfig, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each node that ``nodes``, those of the supervisor, and cluster.yaml do not share."""
    running = {node["name"]: node["address"] for node in nodes}
    return [
        *(
            f"{name} is in cluster.yaml, and not in the cluster that runs: {_TAKEN}"
            for name in config.addresses
            if name not in running
        ),
        *(
            f"{name} runs at {running[name]}, and is at {address} in cluster.yaml: {_TAKEN}"
            for name, address in config.addresses.items()
            if name in running and running[name] != address
        ),
        *(
            f"{name} runs, and is not in cluster.yaml: {_TAKEN}"
            for name in running
            if name not in config.addresses
        ),
    ]


def find_changes(config: ClusterConfig, folder: ClusterFolder, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return all that `find_drift` and `find_lost_books` find."""
    return [*find_drift(config, nodes), *find_lost_books(config, folder, nodes)]


def find_lost_books(config: ClusterConfig, folder: ClusterFolder, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each bank that has books, does not run, and is not in cluster.yaml."""
    running = {node["name"] for node in nodes}
    return [
        f"{path} has the books of no bank in cluster.yaml: no audit is whole without a bank that has paid"
        for path in find_strays(config, folder)
        if path.suffix == ".db" and path.stem not in running
    ]


def find_strays(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Path]:
    """Yield the books and certificates of banks that cluster.yaml does not have."""
    for pattern, suffix in (("state/*.db", ".db"), ("certs/bank/*.crt", ".crt")):
        for path in sorted(folder.root.glob(pattern)):
            name = path.name.removesuffix(suffix)
            if is_bank_name(name) and name not in config.banks:
                yield path
