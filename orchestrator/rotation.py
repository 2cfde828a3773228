"""Other certificates, and another authority, for a cluster that runs: step by step, each waited for.

Nothing is taken from anyone before its successor is in use everywhere. A step that does
not come about ends the rotation where it is, with everything still working; the same
command goes on from there (`orchestrator.authority` has the table).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from nodes.core.names import Identity
from orchestrator.authority import (
    Authority,
    begin_change,
    drop_old,
    find_authority_fault,
    load_authority,
    load_trusted,
    promote_next,
    trust_next,
)
from orchestrator.certificates import REVOKED, Leaf, find_fault, list_leafs, make_leaf
from orchestrator.config import ClusterConfig
from orchestrator.folder import ClusterFolder
from orchestrator.pem import load_certificate
from orchestrator.revocation import record_revocation


class CannotRotate(Exception):
    """Nothing was changed, or no more than was told; the message says why and what to do."""


class Step(NamedTuple):
    """One step that is done: which certificate is the ``serial`` one now, and what that means in a sentence."""

    certificate: str
    serial: str
    said: str


class Witness(Protocol):
    """Whoever can tell what the nodes that run now use; raises `CannotRotate` when it takes too long."""

    def wait_shown(self, leaf: Leaf, serial: str) -> None:
        """Return when the node of ``leaf`` calls with this certificate and shows it, or does not run."""

    def wait_trusted(self, serials: set[str]) -> None:
        """Return when every node that runs trusts exactly these authorities."""

    def wait_revoked(self, identity: Identity, since: int) -> None:
        """Return when no node that runs lets in what was issued to ``identity`` before."""


def find_leafs(config: ClusterConfig, folder: ClusterFolder, names: Iterable[str]) -> list[Leaf]:
    """Return the leafs of these names; raises `CannotRotate` for what is none.

    Without names, all but those that were revoked: who is to come back is named.
    """
    leafs = {leaf.name: leaf for leaf in list_leafs(config, folder)}
    for name in names:
        if name not in leafs:
            raise CannotRotate(f"there is no certificate {name[:40]!r}; there are {', '.join(leafs)}")
    return [leafs[name] for name in names] or [
        leaf for leaf in leafs.values() if find_fault(leaf, None) != REVOKED
    ]


def demand_authority(config: ClusterConfig, folder: ClusterFolder) -> Authority:
    """Return the authority that signs; raises `CannotRotate`."""
    fault = find_authority_fault(config, folder)
    authority = load_authority(folder)
    if fault or authority is None:
        raise CannotRotate(f"the authority {folder.ca_certificate} {fault}: `cluster down`, then `cluster up`")
    return authority


def revoke_older(folder: ClusterFolder, leafs: Iterable[Leaf], witness: Witness) -> Iterator[Step]:
    """Revoke what was issued before the certificates that now lie there, which everyone uses by now."""
    for leaf in leafs:
        successor = load_certificate(leaf.certificate)
        assert successor is not None, "it was made just now"
        since = int(successor.not_valid_before_utc.timestamp())
        record_revocation(folder, leaf.identity, since)
        witness.wait_revoked(leaf.identity, since)
        yield Step(leaf.name, f"{successor.serial_number:x}", f"{leaf.name}: all older certificates are revoked")


def rotate_leafs(leafs: Iterable[Leaf], authority: Authority, witness: Witness) -> Iterator[Step]:
    """Replace certificates and their keys; yield what was done as it is."""
    for leaf in leafs:
        made = make_leaf(leaf, authority)
        serial = f"{made.serial_number:x}"
        witness.wait_shown(leaf, serial)
        yield Step(leaf.name, serial, f"{leaf.name}: serial {serial}, until {made.not_valid_after_utc:%Y-%m-%d}")


def rotate_authority(config: ClusterConfig, folder: ClusterFolder, witness: Witness) -> Iterator[Step]:
    """Let another authority take over, or end what had stopped half-way; yield each step as it is done."""
    demand_authority(config, folder)
    for leaf in list_leafs(config, folder):
        if find_fault(leaf, None) == REVOKED:
            raise CannotRotate(f"{leaf.name} {REVOKED}: `cluster certs rotate {leaf.name}`, or take it out, first")
    if len(load_trusted(folder)) == 1:
        begin_change(config, folder)
        trust_next(folder)
    witness.wait_trusted(_trusted_serials(folder))
    promote_next(folder)
    authority = demand_authority(config, folder)
    serial = f"{authority.certificate.serial_number:x}"
    yield Step(
        "ca", serial, f"ca: every node trusts the next authority beside the old one; it signs, serial {serial}"
    )
    moving = [leaf for leaf in list_leafs(config, folder) if find_fault(leaf, authority.certificate)]
    yield from rotate_leafs(moving, authority, witness)
    drop_old(folder)
    witness.wait_trusted(_trusted_serials(folder))
    yield Step("ca", serial, "ca: the old authority is trusted no more; what else it signed is worth nothing now")


def _trusted_serials(folder: ClusterFolder) -> set[str]:
    return {f"{authority.serial_number:x}" for authority in load_trusted(folder)}
