"""Certificates for tests: an authority in a folder, and leafs that may be wrong on purpose."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodes.core.names import Identity, PeerKind
from nodes.runtime.revocations import successor_name
from nodes.runtime.tls import Tls, TlsFiles, load_tls
from orchestrator.identity.authority import key_usage

CLUSTER = "payments.test"
BOTH_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_DAY = timedelta(days=1)


class Authority:
    """One CA with its folder; `leaf` makes a certificate and returns its files."""

    def __init__(self, folder: Path, cluster: str = CLUSTER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.cluster = cluster
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster} test CA")])
        builder = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(True, 0), True)
            # A strict client, such as Python 3.13's, demands it of whoever signs.
            .add_extension(key_usage(signs_certificates=True), True)
            # Two authorities of one name are told apart by this alone.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def identity(self, kind: PeerKind, name: str = "") -> Identity:
        return Identity(self.cluster, kind, name)

    @property
    def serial(self) -> str:
        return f"{self._certificate.serial_number:x}"

    def tls(self, kind: PeerKind, name: str = "") -> Tls:
        return load_tls(self.leaf(self.identity(kind, name)), kind=kind, name=name or None)

    def leaf(
        self,
        identity: Identity,
        *,
        uris: list[str] | None = None,
        common_name: str = "test",
        days: tuple[int, int] = (-1, 30),
        file_name: str = "",
        usages: Sequence[x509.ObjectIdentifier] = BOTH_USES,
        since: int | None = None,
    ) -> TlsFiles:
        """Make a leaf; ``uris`` instead of its own, valid from and to ``days`` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        uris = [identity.uri] if uris is None else uris
        names = [
            *map(x509.UniformResourceIdentifier, uris),
            x509.DNSName(identity.tls_name),
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
            *([x509.DNSName(successor_name(identity, since))] if since is not None else []),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = (
            self._builder(subject, key, days, since)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage(usages), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )
        stem = file_name or identity.path.replace("/", "-")
        files = TlsFiles(self.ca, self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        certificate = builder.sign(self._key, hashes.SHA256())
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_key(files.key, key)
        return files

    def replace_leaf(self, identity: Identity, files: TlsFiles, *, since: int | None = None) -> None:
        """Put another certificate and key in the place of ``files``, so that at each moment a pair lies there.

        ``since`` makes it a successor of what was revoked then.
        """
        made = self.leaf(identity, file_name=f"{files.certificate.stem}.next", since=since)
        old_key, new_key = files.key.read_bytes(), made.key.read_bytes()
        put_in_place(files.key, old_key + new_key)
        made.certificate.replace(files.certificate)
        put_in_place(files.key, new_key)
        made.key.unlink()

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: tuple[int, int] = (-1, 30),
        since: int | None = None,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        begins = now + days[0] * _DAY if since is None else datetime.fromtimestamp(since, UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(now + days[1] * _DAY)
        )


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def put_in_place(path: Path, content: bytes) -> None:
    """Replace a file in one step, as whoever renews files under a running node must."""
    beside = path.with_suffix(".part")
    beside.touch(mode=0o600)
    beside.write_bytes(content)
    beside.replace(path)


def make_token_key(path: Path) -> Path:
    write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return path
