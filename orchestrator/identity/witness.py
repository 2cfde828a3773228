"""What the nodes of a running cluster use, by the word of the supervisor and by a handshake."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from nodes.core.names import Identity
from orchestrator.identity.certificates import Leaf
from orchestrator.identity.handshake import find_shown_serial
from orchestrator.identity.rotation import CannotRotate
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.control import SupervisorAway, ask

_LOOK_EVERY_S = 0.1

Node = dict[str, Any]


class RunningNodes:
    """The witness of a rotation (`rotation.Witness`). Nodes that do not run are not waited for."""

    def __init__(self, folder: ClusterFolder, *, within_s: float) -> None:
        self._folder = folder
        self._within_s = within_s

    def wait_shown(self, leaf: Leaf, serial: str) -> None:
        """Return when the node of ``leaf`` calls with this certificate alone and shows it, or does not run."""
        self._wait(lambda: self._uses(leaf, serial), f"{leaf.name} does not use its new certificate")

    def wait_trusted(self, serials: set[str]) -> None:
        """Return when every node that runs trusts exactly these authorities."""
        self._wait_for_all(
            lambda certificate: set(certificate.get("authorities", ())) == serials,
            f"does not trust what {self._folder.ca_certificate} holds",
        )

    def wait_token_key(self, name: str) -> None:
        """Return when the gateway signs logins with this key, or does not run."""
        self._wait(
            lambda: all(
                node["certificate"].get("token_key") == name
                for node in self._running()
                if node["role"] == "gateway"
            ),
            "the gateway does not sign with the new token key",
        )

    def wait_revoked(self, identity: Identity, since: int) -> None:
        """Return when no node that runs lets in what was issued to ``identity`` before."""
        self._wait_for_all(
            lambda certificate: certificate.get("revoked", {}).get(identity.uri, 0) >= since,
            f"does not know what {self._folder.revoked} holds",
        )

    def _uses(self, leaf: Leaf, serial: str) -> bool:
        for node in self._running():
            if node["name"] == leaf.name:
                shown = find_shown_serial(self._folder, node["address"], leaf.identity.tls_name)
                used = node["certificate"]
                return shown == used.get("serial") == serial and not used.get("has_older_lines")
        return True

    def _wait_for_all(self, is_so: Callable[[Node], bool], otherwise: str) -> None:
        for name in [node["name"] for node in self._running()]:
            self._wait(
                lambda name=name: all(  # type: ignore[misc]
                    is_so(node["certificate"]) for node in self._running() if node["name"] == name
                ),
                f"{name} {otherwise}",
            )

    def _running(self) -> Iterator[Node]:
        try:
            nodes: list[Node] = ask(self._folder.control_socket, {"do": "status"})["nodes"]
        except SupervisorAway:
            return
        yield from (node for node in nodes if node["pid"] is not None)

    def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline_s = time.monotonic() + self._within_s
        while not is_so():
            if time.monotonic() >= deadline_s:
                raise CannotRotate(
                    f"{otherwise} after {self._within_s:g} s; all that is replaced so far works:"
                    " see `cluster doctor`, then give the same command again"
                )
            time.sleep(_LOOK_EVERY_S)
