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
    # Only here: these take longer to load than all the rest of `status`.
    from orchestrator.certificates import list_certificates
    from orchestrator.config import load

    config = load(folder.config)
    ends = {each.name: each.not_after.isoformat() for each in list_certificates(folder) if each.not_after}
    return [
        make_stopped(name, "gateway" if name == "gateway" else "bank", address, ends.get(name, ""))
        for name, address in config.addresses.items()
    ]
