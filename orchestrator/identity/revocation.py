"""Cutting a bank or a client off: everything that was ever issued to it is worth nothing from now on.

It is on record in ``ca/revoked.json`` (`nodes.runtime.revocations` says what that means),
beside the authority's key, whose holder alone may say who is who. What is on record is
never taken back: whoever is to come back gets a successor, by ``certs rotate NAME``.
"""

import json
import time
from collections.abc import Iterator

from nodes.core.names import Identity, PeerKind, parse_identity
from nodes.runtime.revocations import NOBODY, Revoked, load_revocations
from orchestrator.identity.pem import find_uri, load_certificates
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder


class CannotRevoke(Exception):
    """Nothing was revoked; the message says why and what to do."""


def read_revoked(folder: ClusterFolder) -> Revoked:
    """Return what is on record; raises `nodes.runtime.revocations.RevocationsUnusable` if that is broken."""
    return load_revocations(folder.revoked) if folder.revoked.exists() else NOBODY


def find_identity(config: ClusterConfig, name: str) -> Identity:
    """Return whom ``HDFC``, ``shell`` or ``client/till`` names; raises `CannotRevoke`."""
    if name in ("gateway", "operator"):
        raise CannotRevoke(
            f"without the {name} the cluster is cut off from itself: "
            f"`cluster certs rotate {name} --revoke` puts a successor in its place first"
        )
    path = name if "/" in name else f"bank/{name}" if name in config.banks else f"client/{name}"
    try:
        identity = parse_identity(f"spiffe://{config.name}/{path}")
    except ValueError as error:
        raise CannotRevoke(
            f"{name[:40]!r} names no bank and no client, such as HDFC, shell or client/till"
        ) from error
    if identity.kind is PeerKind.CLIENT and "/" not in name and name != "shell":
        known = ", ".join([*config.banks, "shell"])
        raise CannotRevoke(f"there is no certificate {name!r} here ({known}); one issued by hand is client/{name}")
    return identity


def revoke(folder: ClusterFolder, identity: Identity) -> int:
    """Revoke every certificate of ``identity`` that there is by now; return from when on others are good."""
    # Issued and revoked within one second: a whole second later it must be.
    since = max([int(time.time()), *(begins + 1 for begins in _find_beginnings(folder, identity))])
    record_revocation(folder, identity, since)
    return since


def record_revocation(folder: ClusterFolder, identity: Identity, since: int) -> None:
    """Put on record that what ``identity`` has from before ``since`` is worth nothing; never less than was."""
    known = dict(read_revoked(folder))
    known[identity] = max(since, known.get(identity, 0))
    write_revoked(folder, known)


def write_revoked(folder: ClusterFolder, revoked: Revoked) -> None:
    """Write the file that the nodes read."""
    rows = [{"identity": identity.uri, "before": since} for identity, since in revoked.items()]
    write_whole(folder.revoked, (json.dumps({"revoked": rows}, indent=2) + "\n").encode(), mode=0o644)


def _find_beginnings(folder: ClusterFolder, identity: Identity) -> Iterator[int]:
    """Yield when the certificates of ``identity`` that lie here begin to be valid, in seconds since 1970."""
    for path in folder.certs.glob("*/*.crt"):
        for certificate in load_certificates(path):
            if find_uri(certificate) == identity.uri:
                yield int(certificate.not_valid_before_utc.timestamp())
