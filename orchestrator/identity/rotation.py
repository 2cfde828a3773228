"""Other certificates, and another authority, for a cluster that runs: step by step, each waited for.

Nothing is taken from anyone before its successor is in use everywhere. A step that does
not come about ends the rotation where it is, with everything still working; the same
command goes on from there (`orchestrator.identity.authority` has the table).
"""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from nodes.core.names import Identity
from nodes.runtime.token_keys import (
    RetiredKey,
    find_retired,
    load_retired,
    load_token_key,
    name_key,
    write_retired,
)
from orchestrator.identity.authority import (
    Authority,
    begin_change,
    drop_old,
    find_authority_fault,
    load_authority,
    load_trusted,
    promote_next,
    trust_next,
)
from orchestrator.identity.certificates import REVOKED, Leaf, find_fault, list_leafs, make_leaf
from orchestrator.identity.pem import key_pem, load_certificate, new_key
from orchestrator.identity.revocation import record_revocation
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder

TOKEN_LIFE_S = 3600
_TAKEN_WITHIN_S = 60
"""How long the gateway may go on signing with the old key, when it is slow to take the new one."""


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
        """Return when the node of ``leaf`` calls with this certificate alone and shows it, or does not run."""

    def wait_trusted(self, serials: set[str]) -> None:
        """Return when every node that runs trusts exactly these authorities."""

    def wait_token_key(self, name: str) -> None:
        """Return when the gateway signs logins with this key, or does not run."""

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


def rotate_token_key(folder: ClusterFolder, overlap_s: float, witness: Witness) -> Iterator[Step]:
    """Let another key sign logins; what the old one signed is good for ``overlap_s`` more, an hour at most.

    Without overlap every login is over: for when the old key may be known to others.
    """
    now = int(time.time())
    retired = [key for key in load_retired(find_retired(folder.token_key)) if key.until > now and overlap_s]
    if overlap_s:
        old = load_token_key(folder.token_key).public_key()
        retired.append(RetiredKey(old, now + int(min(overlap_s, TOKEN_LIFE_S)) + _TAKEN_WITHIN_S))
    key = new_key()
    # In this order, so that what the old key has signed is known at each moment (`nodes.runtime.token_keys`).
    write_whole(find_retired(folder.token_key), write_retired(retired))
    write_whole(folder.token_key, key_pem(key))
    name = name_key(key.public_key())
    witness.wait_token_key(name)
    until = f"good until {datetime.fromtimestamp(retired[-1].until):%H:%M:%S}" if retired else "over, all of them"
    yield Step("token", name, f"token: {name} signs logins; those from before are {until}")


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
    said = "what else it signed is worth nothing now, and for clients once they connect anew"
    yield Step("ca", serial, f"ca: the old authority is trusted no more; {said}")


def _trusted_serials(folder: ClusterFolder) -> set[str]:
    return {f"{authority.serial_number:x}" for authority in load_trusted(folder)}
