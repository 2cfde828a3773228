"""The cluster's authority and certificates: made when they are missing, made anew when they no longer serve.

One authority per cluster signs one leaf for each node, for the operator and for the
users' shells. Every leaf has exactly one URI, its SPIFFE identity, and as DNS names
that identity again (`nodes.core.names`) and what its node is called by.

Everything is judged by what lies in the files, so whatever stopped half-way, or was
put there by hand, is found and mended by the next `ensure_certificates`.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodes.core.names import Identity, PeerKind
from nodes.runtime.revocations import NOBODY, successor_name
from nodes.runtime.signing import has_signed
from orchestrator.identity.authority import (
    Authority,
    choose_beginning,
    drop_old,
    find_authority_fault,
    find_extension,
    find_time_fault,
    is_changing,
    key_usage,
    load_authority,
    make_authority,
    promote_next,
    start_certificate,
    trust_next,
    write_authority,
)
from orchestrator.identity.pem import (
    find_key,
    find_uri,
    key_pem,
    load_certificate,
    load_keys,
    new_key,
    trim_keys,
    write_pair,
)
from orchestrator.identity.revocation import read_revoked, write_revoked
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder

LEAF_LIFE = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=7)
REVOKED = "was revoked"


class Leaf(NamedTuple):
    """A certificate that the cluster is to have."""

    name: str
    identity: Identity
    hosts: tuple[str, ...]
    certificate: Path
    key: Path
    address: str = ""
    """Where its node listens; empty for those that only call."""
    revoked_before: int = 0
    """Certificates that begin before this are worth nothing; seconds since 1970, 0 if none was revoked."""

    @property
    def is_node(self) -> bool:
        """Whether it serves, and does not only call."""
        return self.identity.kind in (PeerKind.GATEWAY, PeerKind.BANK)


class Change(NamedTuple):
    """A file that was made or mended, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}: {self.why}"


class Listed(NamedTuple):
    """A certificate as it lies there; ``fault`` is empty when it can be used."""

    name: str
    identity: str
    serial: str
    not_after: datetime | None
    days_left: int
    fault: str


def list_leafs(config: ClusterConfig, folder: ClusterFolder) -> list[Leaf]:
    """Return every certificate that the cluster is to have, but for the authority's.

    Raises `nodes.runtime.revocations.RevocationsUnusable`.
    """

    def identity(kind: PeerKind, name: str = "") -> Identity:
        return Identity(config.name, kind, name)

    gateway = Leaf(
        "gateway",
        identity(PeerKind.GATEWAY),
        (_host(config.gateway.address),),
        folder.gateway_certificate,
        folder.gateway_key,
        config.gateway.address,
    )
    banks = [
        Leaf(
            name,
            identity(PeerKind.BANK, name),
            (_host(bank.address),),
            folder.bank_certificate(name),
            folder.bank_key(name),
            bank.address,
        )
        for name, bank in config.banks.items()
    ]
    operator = Leaf("operator", identity(PeerKind.OPERATOR), (), folder.operator_certificate, folder.operator_key)
    shell = Leaf("shell", identity(PeerKind.CLIENT, "shell"), (), folder.shell_certificate, folder.shell_key)
    revoked = read_revoked(folder)
    leafs = [gateway, *banks, operator, shell]
    return [leaf._replace(revoked_before=revoked.get(leaf.identity, 0)) for leaf in leafs]


# -- made ---------------------------------------------------------------------------


def ensure_certificates(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Change]:
    """Make what is missing or no longer serves; yield each change as it is made.

    Only while no node runs: a change of the authority that stopped half-way is ended at once.
    """
    folder.certs.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield from _close_to_others(folder)
    fault = find_authority_fault(config, folder, renewed_before=RENEWED_BEFORE)
    if fault:
        is_new = not folder.ca_certificate.exists() and not folder.ca_key.exists()
        folder.next_authority.unlink(missing_ok=True)
        write_authority(folder, make_authority(config))
        yield Change(folder.ca_certificate, fault if is_new else f"{fault}; all certificates are made anew")
    elif is_changing(folder):
        trust_next(folder)
        promote_next(folder)
    if not folder.revoked.exists():
        write_revoked(folder, NOBODY)
    yield from renew_leafs(config, folder)
    if drop_old(folder):
        yield Change(folder.ca_certificate, "one authority has taken over from another")
    yield from _ensure_token_key(folder)


def renew_leafs(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Change]:
    """Make anew what no longer serves, or soon will not; nodes that run take it as it is made."""
    authority = load_authority(folder)
    assert authority is not None, "the authority was made or found good before"
    for leaf in list_leafs(config, folder):
        fault = find_fault(leaf, authority.certificate, renewed_before=RENEWED_BEFORE)
        if fault == REVOKED:
            yield Change(leaf.certificate, f"{REVOKED}; left so until `cluster certs rotate {leaf.name}`")
        elif fault:
            make_leaf(leaf, authority)
            yield Change(leaf.certificate, fault)
        elif trim_keys(leaf.certificate, leaf.key):
            yield Change(leaf.key, "a replacement had stopped half-way; ended")


def _ensure_token_key(folder: ClusterFolder) -> Iterator[Change]:
    if not _is_key(folder.token_key):
        why = "does not hold a P-256 key" if folder.token_key.exists() else "was missing"
        write_whole(folder.token_key, key_pem(new_key()))
        yield Change(folder.token_key, why)


def _close_to_others(folder: ClusterFolder) -> Iterator[Change]:
    """Take from others what they may not read."""
    for path in (folder.certs, *sorted(folder.certs.rglob("*"))):
        # What else there may be, such as the authority that takes over (next.pem), holds a key.
        wanted = 0o700 if path.is_dir() else 0o644 if path.suffix in (".crt", ".json") else 0o600
        if path.stat().st_mode & 0o777 & ~wanted:
            path.chmod(wanted)
            yield Change(path, "could be read by others; closed")


def make_leaf(leaf: Leaf, authority: Authority) -> x509.Certificate:
    """Make a certificate with a key of its own, in the place of what lies there."""
    key = new_key()
    old = load_certificate(leaf.certificate)
    begins = choose_beginning(leaf.revoked_before, _begins(old) + 1 if old else 0)
    # Only for what is replaced again within the second that its predecessor was revoked in.
    time.sleep(max(0.0, begins.timestamp() - time.time()))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, leaf.name)])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        start_certificate((subject, authority.certificate.subject), key.public_key(), begins, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(_uses(leaf), critical=False)
        .add_extension(issuer_key, critical=False)
        .add_extension(_names(leaf, leaf.revoked_before or int(begins.timestamp())), critical=False)
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    write_pair(leaf.certificate, leaf.key, certificate, key)
    return certificate


def _begins(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_before_utc.timestamp())


def _names(leaf: Leaf, since: int) -> x509.SubjectAlternativeName:
    """Return what a certificate is valid for; one of the names says that it is of those since then."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(leaf.identity.uri)]
    own = leaf.identity.tls_name, successor_name(leaf.identity, since)
    for host in dict.fromkeys((*own, "localhost", "127.0.0.1", "::1", *leaf.hosts)):
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _uses(leaf: Leaf) -> x509.ExtendedKeyUsage:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.is_node else []
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, *server])


# -- looked at ----------------------------------------------------------------------


def list_certificates(folder: ClusterFolder, config: ClusterConfig | None = None) -> list[Listed]:
    """Return every certificate of the cluster as it lies there; without ``config`` no identity is demanded."""
    signs = load_authority(folder)
    authority = signs.certificate if signs else load_certificate(folder.ca_certificate)
    fault = find_authority_fault(config, folder) if config else "" if authority else "cannot be read"
    if not fault and is_changing(folder):
        fault = "another takes over: `cluster certs rotate --ca` ends it"
    listed = [_list("ca", authority, fault)]
    if config is not None:
        leafs = list_leafs(config, folder)
        return listed + [
            _list(leaf.name, load_certificate(leaf.certificate), find_fault(leaf, authority)) for leaf in leafs
        ]
    for path in sorted(folder.certs.glob("*/*.crt")):
        if path != folder.ca_certificate:
            found = load_certificate(path)
            listed.append(_list(path.stem, found, "" if found else "cannot be read"))
    return listed


def find_fault(leaf: Leaf, authority: x509.Certificate | None, *, renewed_before: timedelta = timedelta()) -> str:
    """Say why a certificate does not serve; empty when it does."""
    fault = _find_file_fault(leaf)
    certificate = load_certificate(leaf.certificate)
    if fault or certificate is None:
        return fault
    if _begins(certificate) < leaf.revoked_before:
        return REVOKED
    if authority is None or not has_signed(authority, certificate):
        return "was not signed by this cluster's authority"
    names = _names(leaf, leaf.revoked_before or _begins(certificate))
    if find_extension(certificate, x509.SubjectAlternativeName) != names:
        return "was made for another name or address"
    constraints = find_extension(certificate, x509.BasicConstraints)
    if find_extension(certificate, x509.ExtendedKeyUsage) != _uses(leaf) or constraints is None or constraints.ca:
        return "was made for another use"
    return find_time_fault(certificate, renewed_before)


def _find_file_fault(leaf: Leaf) -> str:
    """Say what is wrong with a certificate and its key as files."""
    if not leaf.certificate.exists():
        return "was missing"
    if not leaf.key.exists():
        return "its key was missing"
    certificate = load_certificate(leaf.certificate)
    if certificate is None or not load_keys(leaf.key):
        return f"{(leaf.certificate if certificate is None else leaf.key).name} could not be read"
    return "" if find_key(leaf.key, certificate) else "did not fit its key"


def _list(name: str, certificate: x509.Certificate | None, fault: str) -> Listed:
    if certificate is None:
        return Listed(name, "", "", None, 0, fault)
    days_left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    serial = f"{certificate.serial_number:x}"
    return Listed(name, find_uri(certificate), serial, certificate.not_valid_after_utc, days_left, fault)


def _is_key(path: Path) -> bool:
    return any(isinstance(key.curve, ec.SECP256R1) for key in load_keys(path)[:1])


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
