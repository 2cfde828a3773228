"""The cluster's authority: who signs, who is trusted, and how another takes over.

``ca/ca.crt`` holds every authority that is trusted, ``ca/ca.key`` the key of the one that
signs: that whose certificate it fits. While one takes over from another both are trusted,
and the next one waits in ``ca/next.pem``, key and certificate in one file:

    ==================  =============  ============  ==========================================
    trusted (ca.crt)    signs (ca.key) next.pem      the next step
    ==================  =============  ============  ==========================================
    old                 old            -             none is under way
    old                 old            new           `trust_next`
    old, new            old            new           once every node trusts both: `promote_next`
    old, new            new            (new)         once every leaf is signed by new: `drop_old`
    new                 new            -             it is done
    ==================  =============  ============  ==========================================

Each step replaces one file. So a crash leaves one of these rows, and whoever comes next
goes on from it (`orchestrator.identity.rotation`, or `up`).
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodes.runtime.crash_points import reach
from orchestrator.identity.pem import (
    Key,
    certificate_pem,
    find_key,
    key_pem,
    load_certificate,
    load_certificates,
    load_keys,
    new_key,
)
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder

AUTHORITY_LIFE = timedelta(days=3650)
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Authority(NamedTuple):
    """One that can sign."""

    certificate: x509.Certificate
    key: Key


def authority_name(config: ClusterConfig) -> x509.Name:
    """Return what every authority of the cluster is called; their keys tell them apart."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {config.name}"[:64])])


def make_authority(config: ClusterConfig) -> Authority:
    """Make one; it lies nowhere yet."""
    key = new_key()
    name = authority_name(config)
    builder = (
        start_certificate((name, name), key.public_key(), choose_beginning(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def load_trusted(folder: ClusterFolder) -> list[x509.Certificate]:
    """Return every authority that is trusted."""
    return load_certificates(folder.ca_certificate)


def load_authority(folder: ClusterFolder) -> Authority | None:
    """Return the one that signs; None if the files do not hold one."""
    for certificate in load_trusted(folder):
        key = find_key(folder.ca_key, certificate)
        if key is not None:
            return Authority(certificate, key)
    return None


def write_authority(folder: ClusterFolder, authority: Authority) -> None:
    """Let one sign that nothing was signed by before."""
    write_whole(folder.ca_key, key_pem(authority.key))
    reach("up.certificates.authority-half-made")
    write_whole(folder.ca_certificate, certificate_pem(authority.certificate), mode=0o644)


def load_next(folder: ClusterFolder) -> Authority | None:
    """Return the one that is to take over."""
    certificate = load_certificate(folder.next_authority)
    key = find_key(folder.next_authority, certificate) if certificate else None
    return Authority(certificate, key) if certificate and key else None


def is_changing(folder: ClusterFolder) -> bool:
    """Tell whether one is taking over from another."""
    return folder.next_authority.exists() or len(load_trusted(folder)) > 1


def begin_change(config: ClusterConfig, folder: ClusterFolder) -> None:
    """Make the next one, unless one waits already."""
    if load_next(folder) is None:
        authority = make_authority(config)
        write_whole(folder.next_authority, key_pem(authority.key) + certificate_pem(authority.certificate))


def trust_next(folder: ClusterFolder) -> None:
    """Trust the one that is to take over, beside the one that signs."""
    trusted, coming = load_trusted(folder), load_next(folder)
    if coming is not None and coming.certificate not in trusted:
        write_whole(folder.ca_certificate, certificate_pem(*trusted, coming.certificate), mode=0o644)


def promote_next(folder: ClusterFolder) -> None:
    """Let the next one sign; every node must trust it by now."""
    coming = load_next(folder)
    if coming is not None:
        assert coming.certificate in load_trusted(folder), "what signs must be trusted before"
        write_whole(folder.ca_key, key_pem(coming.key))
    folder.next_authority.unlink(missing_ok=True)


def drop_old(folder: ClusterFolder) -> bool:
    """Trust the one that signs alone; tell whether another was. Nothing that is used may be signed by another."""
    signs = load_authority(folder)
    if signs is None or load_trusted(folder) == [signs.certificate]:
        return False
    write_whole(folder.ca_certificate, certificate_pem(signs.certificate), mode=0o644)
    return True


def find_authority_fault(
    config: ClusterConfig, folder: ClusterFolder, *, renewed_before: timedelta = timedelta()
) -> str:
    """Say why the cluster's authority does not serve; empty when it does."""
    fault = _find_file_fault(folder)
    authority = load_authority(folder)
    if fault or authority is None:
        return fault
    constraints = find_extension(authority.certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "is no authority"
    if authority.certificate.subject != authority_name(config):
        return "was made for a cluster of another name"
    return find_time_fault(authority.certificate, renewed_before)


def _find_file_fault(folder: ClusterFolder) -> str:
    if not folder.ca_certificate.exists():
        return "was missing"
    if not folder.ca_key.exists():
        return "its key was missing"
    if not load_trusted(folder):
        return f"{folder.ca_certificate.name} could not be read"
    if not load_keys(folder.ca_key):
        return f"{folder.ca_key.name} could not be read"
    return "" if load_authority(folder) else "did not fit its key"


# -- certificates in general ----------------------------------------------------------


def choose_beginning(*not_before: int) -> datetime:
    """Return from when on a certificate is to be valid: by now even for clocks that are late, but no earlier."""
    begins = int((datetime.now(UTC) - _CLOCKS_DIFFER_BY).timestamp())
    return datetime.fromtimestamp(max(begins, *not_before, 0), UTC)


def start_certificate(
    names: tuple[x509.Name, x509.Name], key: ec.EllipticCurvePublicKey, begins: datetime, life: timedelta
) -> x509.CertificateBuilder:
    """Begin a certificate; ``names`` are those of subject and issuer."""
    subject, issuer = names
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(datetime.now(UTC) + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return what a key is for: to sign certificates, or to shake hands."""
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


def find_time_fault(certificate: x509.Certificate, renewed_before: timedelta) -> str:
    """Say why a certificate is not valid now, or will soon not be."""
    now, ends = datetime.now(UTC), certificate.not_valid_after_utc
    if ends < now:
        return f"expired at {ends:%Y-%m-%d}"
    if ends < now + renewed_before:
        return f"expires at {ends:%Y-%m-%d}"
    starts = certificate.not_valid_before_utc
    return f"is not valid before {starts:%Y-%m-%d}" if starts > now else ""


def find_extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return an extension of a certificate."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
