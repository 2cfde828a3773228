"""The cluster's authority and certificates: made when they are missing, made anew when they no longer serve.

One authority per cluster signs one leaf for each node, for the operator and for the
users' shells. Every leaf has exactly one URI, its SPIFFE identity, and as DNS names
that identity again (`nodes.core.names`) and what its node is called by.

Everything is judged by what lies in the files, so whatever stopped half-way, or was
put there by hand, is found and mended by the next `ensure_certificates`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodes.core.names import Identity, PeerKind
from nodes.runtime.crash_points import reach
from orchestrator.config import ClusterConfig
from orchestrator.files import write_whole
from orchestrator.folder import ClusterFolder

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=7)
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_ALL_ANEW = "all certificates are made anew"
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Leaf(NamedTuple):
    """A certificate that the cluster is to have."""

    name: str
    identity: Identity
    hosts: tuple[str, ...]
    certificate: Path
    key: Path

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


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def list_leafs(config: ClusterConfig, folder: ClusterFolder) -> list[Leaf]:
    """Return every certificate that the cluster is to have, but for the authority's."""

    def identity(kind: PeerKind, name: str = "") -> Identity:
        return Identity(config.name, kind, name)

    gateway = Leaf(
        "gateway",
        identity(PeerKind.GATEWAY),
        (_host(config.gateway.address),),
        folder.gateway_certificate,
        folder.gateway_key,
    )
    banks = [
        Leaf(
            name,
            identity(PeerKind.BANK, name),
            (_host(bank.address),),
            folder.bank_certificate(name),
            folder.bank_key(name),
        )
        for name, bank in config.banks.items()
    ]
    operator = Leaf("operator", identity(PeerKind.OPERATOR), (), folder.operator_certificate, folder.operator_key)
    shell = Leaf("shell", identity(PeerKind.CLIENT, "shell"), (), folder.shell_certificate, folder.shell_key)
    return [gateway, *banks, operator, shell]


# -- made ---------------------------------------------------------------------------


def ensure_certificates(config: ClusterConfig, folder: ClusterFolder) -> Iterator[Change]:
    """Make what is missing or no longer serves; yield each change as it is made."""
    folder.certs.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield from _close_to_others(folder)
    fault = find_authority_fault(config, folder, renewed_before=RENEWED_BEFORE)
    authority = _make_authority(config, folder) if fault else _load_authority(folder)
    if fault:
        yield Change(folder.ca_certificate, fault)
    for leaf in list_leafs(config, folder):
        fault = find_fault(leaf, authority.certificate, renewed_before=RENEWED_BEFORE)
        if fault:
            _make_leaf(leaf, authority)
            yield Change(leaf.certificate, fault)
    if not _is_key(folder.token_key):
        why = "does not hold a P-256 key" if folder.token_key.exists() else "was missing"
        write_whole(folder.token_key, _key_pem(_new_key()))
        yield Change(folder.token_key, why)


def _close_to_others(folder: ClusterFolder) -> Iterator[Change]:
    """Take from others what they may not read."""
    for path in (folder.certs, *sorted(folder.certs.rglob("*"))):
        wanted = 0o700 if path.is_dir() else 0o600 if path.suffix == ".key" else 0o644
        if path.stat().st_mode & 0o777 & ~wanted:
            path.chmod(wanted)
            yield Change(path, "could be read by others; closed")


def _load_authority(folder: ClusterFolder) -> _Authority:
    certificate, key = _load_certificate(folder.ca_certificate), _load_key(folder.ca_key)
    assert certificate is not None
    assert key is not None
    return _Authority(certificate, key)


def _make_authority(config: ClusterConfig, folder: ClusterFolder) -> _Authority:
    key = _new_key()
    name = _authority_name(config)
    usage = _key_usage(signs_certificates=True)
    builder = (
        _builder(name, name, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    write_whole(folder.ca_key, _key_pem(key))
    reach("up.certificates.authority-half-made")
    write_whole(folder.ca_certificate, _certificate_pem(certificate), mode=0o644)
    return _Authority(certificate, key)


def _make_leaf(leaf: Leaf, authority: _Authority) -> None:
    key = _new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, leaf.name)])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key(), LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_uses(leaf), critical=False)
        .add_extension(issuer_key, critical=False)
        .add_extension(_names(leaf), critical=False)
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    write_whole(leaf.key, _key_pem(key))
    reach("up.certificates.leaf-half-made")
    write_whole(leaf.certificate, _certificate_pem(certificate), mode=0o644)


def _names(leaf: Leaf) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(leaf.identity.uri)]
    for host in dict.fromkeys((leaf.identity.tls_name, "localhost", "127.0.0.1", "::1", *leaf.hosts)):
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _uses(leaf: Leaf) -> x509.ExtendedKeyUsage:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.is_node else []
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, *server])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


# -- looked at ----------------------------------------------------------------------


def list_certificates(folder: ClusterFolder, config: ClusterConfig | None = None) -> list[Listed]:
    """Return every certificate of the cluster as it lies there; without ``config`` no identity is demanded."""
    authority = _load_certificate(folder.ca_certificate)
    fault = find_authority_fault(config, folder) if config else "" if authority else "cannot be read"
    listed = [_list("ca", authority, fault)]
    if config is not None:
        leafs = list_leafs(config, folder)
        return listed + [
            _list(leaf.name, _load_certificate(leaf.certificate), find_fault(leaf, authority)) for leaf in leafs
        ]
    for path in sorted(folder.certs.glob("*/*.crt")):
        if path != folder.ca_certificate:
            found = _load_certificate(path)
            listed.append(_list(path.stem, found, "" if found else "cannot be read"))
    return listed


def find_authority_fault(
    config: ClusterConfig, folder: ClusterFolder, *, renewed_before: timedelta = timedelta()
) -> str:
    """Say why the cluster's authority does not serve; empty when it does."""
    fault = _find_file_fault(folder.ca_certificate, folder.ca_key)
    certificate = _load_certificate(folder.ca_certificate)
    if fault or certificate is None:
        is_new = not folder.ca_certificate.exists() and not folder.ca_key.exists()
        return fault if is_new else f"{fault}; {_ALL_ANEW}"
    constraints = _find_extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return f"is no authority; {_ALL_ANEW}"
    if certificate.subject != _authority_name(config):
        return f"was made for a cluster of another name; {_ALL_ANEW}"
    fault = _find_time_fault(certificate, renewed_before)
    return f"{fault}; {_ALL_ANEW}" if fault else ""


def find_fault(leaf: Leaf, authority: x509.Certificate | None, *, renewed_before: timedelta = timedelta()) -> str:
    """Say why a certificate does not serve; empty when it does."""
    fault = _find_file_fault(leaf.certificate, leaf.key)
    certificate = _load_certificate(leaf.certificate)
    if fault or certificate is None:
        return fault
    if authority is None or not _is_signed_by(certificate, authority):
        return "was not signed by this cluster's authority"
    if _find_extension(certificate, x509.SubjectAlternativeName) != _names(leaf):
        return "was made for another name or address"
    constraints = _find_extension(certificate, x509.BasicConstraints)
    if _find_extension(certificate, x509.ExtendedKeyUsage) != _uses(leaf) or constraints is None or constraints.ca:
        return "was made for another use"
    return _find_time_fault(certificate, renewed_before)


def _find_file_fault(certificate_path: Path, key_path: Path) -> str:
    """Say what is wrong with a certificate and its key as files."""
    if not certificate_path.exists():
        return "was missing"
    if not key_path.exists():
        return "its key was missing"
    certificate, key = _load_certificate(certificate_path), _load_key(key_path)
    if certificate is None or key is None:
        return f"{(certificate_path if certificate is None else key_path).name} could not be read"
    return "" if certificate.public_key() == key.public_key() else "did not fit its key"


def _find_time_fault(certificate: x509.Certificate, renewed_before: timedelta) -> str:
    now, ends = datetime.now(UTC), _ends(certificate)
    if ends < now:
        return f"expired at {ends:%Y-%m-%d}"
    if ends < now + renewed_before:
        return f"expires at {ends:%Y-%m-%d}"
    starts = certificate.not_valid_before_utc
    return f"is not valid before {starts:%Y-%m-%d}" if starts > now else ""


def _find_extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _list(name: str, certificate: x509.Certificate | None, fault: str) -> Listed:
    if certificate is None:
        return Listed(name, "", "", None, 0, fault)
    days_left = (_ends(certificate) - datetime.now(UTC)).days
    return Listed(
        name, _identity(certificate), f"{certificate.serial_number:x}", _ends(certificate), days_left, fault
    )


def _identity(certificate: x509.Certificate) -> str:
    names = _find_extension(certificate, x509.SubjectAlternativeName)
    return " ".join(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else ""


def _is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _ends(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


# -- files --------------------------------------------------------------------------


def _load_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _is_key(path: Path) -> bool:
    key = _load_key(path)
    return key is not None and isinstance(key.curve, ec.SECP256R1)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _authority_name(config: ClusterConfig) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {config.name}"[:64])])


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
