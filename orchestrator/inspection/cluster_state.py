"""How the nodes of a folder are, whether or not a supervisor runs there."""

from typing import Any

from orchestrator.inspection.status import make_stopped
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import SupervisorAway, ask


def describe_nodes(folder: ClusterFolder) -> list[dict[str, Any]]:
    """Return every node as the supervisor describes it, or as stopped when there is none."""
    try:
        nodes: list[dict[str, Any]] = ask(folder.control_socket, {"do": "status"})["nodes"]
    except SupervisorAway:
        nodes = _describe_stopped(folder)
    return nodes


def _describe_stopped(folder: ClusterFolder) -> list[dict[str, Any]]:
    # Only here: these take longer to load than all the rest of `status`.
    from orchestrator.identity.certificates import list_certificates
    from orchestrator.layout.config import load

    config = load(folder.config)
    ends = {each.name: each.not_after.isoformat() for each in list_certificates(folder) if each.not_after}
    return [
        make_stopped(name, "gateway" if name == "gateway" else "bank", address, ends.get(name, ""))
        for name, address in config.addresses.items()
    ]
