"""How the nodes of a folder are, whether or not a supervisor runs there."""

from typing import Any

from orchestrator.control import SupervisorAway, ask
from orchestrator.folder import ClusterFolder
from orchestrator.status import make_stopped


def describe_nodes(folder: ClusterFolder) -> list[dict[str, Any]]:
    """Return every node as the supervisor describes it, or as stopped when there is none."""
    try:
        nodes: list[dict[str, Any]] = ask(folder.control_socket, {"do": "status"})["nodes"]
    except SupervisorAway:
        nodes = _describe_stopped(folder)
    return nodes


def _describe_stopped(folder: ClusterFolder) -> list[dict[str, Any]]:
    # Only here: pydantic takes longer to load than all the rest of `status`.
    from orchestrator.config import load  # noqa: PLC0415

    config = load(folder.config)
    banks = [make_stopped(name, "bank", bank.address) for name, bank in config.banks.items()]
    return [make_stopped("gateway", "gateway", config.gateway.address), *banks]


def read_days_left(folder: ClusterFolder) -> dict[str, int]:
    """Return the days left of each node's certificate on disk, by the node's name."""
    from orchestrator.certificates import list_certificates  # noqa: PLC0415 - as above

    return {certificate.name: certificate.days_left for certificate in list_certificates(folder)}
