"""Mutual TLS: a node's own certificate, checked before it is used, and lines to others.

Every connection has a certificate on both sides. A server learns who calls from the
certificate's one SPIFFE URI (`peer_identity`); whoever dials demands the DNS name that
carries the same identity (`nodes.core.names`), so nobody answers for another.

Files change while nodes run (`nodes.runtime.live_tls`). The authority's file may hold
two authorities, while certificates move from one to the other, and a key file two keys,
while a certificate and its key are replaced: only one of them fits the certificate, so
at each moment the files hold a pair, whatever crashes.
"""

import math
import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodes.core.names import Identity, PeerKind, parse_identity
from nodes.runtime.file_watch import stamp_files
from nodes.runtime.revocations import NOBODY, RevocationsUnusable, Revoked, demanded_name, load_revocations
from nodes.runtime.signing import has_signed

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Batches of payments fit, floods do not."""

CONNECTION_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]
_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    *CONNECTION_OPTIONS,
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # What a handshake may take, whatever the name says: on a busy machine that is far more than 100 ms.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # Who is restarted is back within 0.3 s; to be refused meanwhile costs neither side anything.
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    # A proxy that the environment names is for the web: it would learn who is called, and could cut every line.
    ("grpc.enable_http_proxy", 0),
]


_READINGS_MAX = 5
KEY_BLOCK = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL)


class CertificateUnusable(Exception):
    """A certificate or key cannot be used; the message says which file, why and what to do."""


class IdentityRefused(Exception):
    """A peer's certificate does not say who it is in the one way that counts."""


class TlsFiles(NamedTuple):
    """Where a node's certificate is: PEM files of the authority, the leaf and its key."""

    ca: Path
    certificate: Path
    key: Path
    revoked: Path | None = None
    """The file of revocations (`nodes.runtime.revocations`); None: nobody is."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that there is to be."""
        return tuple(path for path in self if path is not None)


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate that was found good, with its key; who holds it is ``identity``."""

    files: TlsFiles
    identity: Identity
    serial: str
    """In hexadecimal, as `authorities`, which are the serials of all that are trusted."""
    not_after: datetime
    thumbprint: str
    authorities: tuple[str, ...]
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    revoked: Revoked
    """Whose certificates are not to be trusted, though the authorities signed them."""

    @property
    def is_revoked(self) -> bool:
        """Whether this very certificate is worth nothing to others any more."""
        since = self.revoked.get(self.identity)
        return since is not None and _valid_from(self.certificate_pem) < since

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Serve with this certificate, to callers that have one of the same authority."""
        pair = [(self.key_pem, self.certificate_pem)]
        return grpc.ssl_server_certificate_configuration(pair, root_certificates=self.ca_pem)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Call with this certificate."""
        return grpc.ssl_channel_credentials(self.ca_pem, self.key_pem, self.certificate_pem)


def load_tls(files: TlsFiles, *, kind: PeerKind, name: str | None = None) -> Tls:
    """Read a node's certificate and check all that a handshake would stumble over; raises `CertificateUnusable`.

    It must be for an identity of ``kind`` (and ``name``, if given), and valid now.
    """
    for _ in range(_READINGS_MAX - 1):
        stamps = stamp_files(*files.paths)
        try:
            return _load_tls(files, kind, name)
        except CertificateUnusable:
            # Replaced between the reading of one file and of another: not what lies there now.
            if stamps == stamp_files(*files.paths):
                raise
    return _load_tls(files, kind, name)


def load_again(tls: Tls) -> Tls:
    """Read the files of ``tls`` as they are now; raises `CertificateUnusable`."""
    return load_tls(tls.files, kind=tls.identity.kind, name=tls.identity.name or None)


def _load_tls(files: TlsFiles, kind: PeerKind, name: str | None) -> Tls:
    holder = f"{kind.name.lower()} {name}" if name else f"{kind.name.lower()}"
    authorities = _parse_authorities(files.ca, _read(files.ca, f"a {holder} cannot start without its authority"))
    pem = _read(files.certificate, f"a {holder} cannot start without its own certificate")
    leaf = _parse_certificate(files.certificate, pem)
    key_pem = _read(files.key, f"a {holder} cannot start without its own key")
    _demand_private(files.key)
    fitting = _find_key(files.key, key_pem, leaf)
    if fitting is None:
        raise CertificateUnusable(f"{files.key} is not the key of {files.certificate}: make both anew")
    _demand_signed(files, leaf, authorities)
    _demand_valid_now(files.certificate, leaf)
    _demand_use(files.certificate, leaf, kind)
    identity = _own_identity(files.certificate, leaf)
    if identity.kind is not kind or (name is not None and identity.name != name):
        raise CertificateUnusable(f"{files.certificate} is the certificate of {identity.path}, not of {holder}")
    return Tls(
        files=files,
        identity=identity,
        serial=f"{leaf.serial_number:x}",
        not_after=leaf.not_valid_after_utc,
        thumbprint=_thumbprint(leaf),
        authorities=tuple(f"{authority.serial_number:x}" for authority in authorities),
        ca_pem=b"".join(authority.public_bytes(serialization.Encoding.PEM) for authority in authorities),
        certificate_pem=pem,
        key_pem=fitting,
        revoked=_load_revoked(files.revoked),
    )


def _load_revoked(path: Path | None) -> Revoked:
    try:
        return load_revocations(path) if path is not None else NOBODY
    except RevocationsUnusable as error:
        raise CertificateUnusable(str(error)) from error


def dial(
    address: str, tls: Tls, peer: Identity, *, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
) -> grpc.aio.Channel:
    """Open a line of its own to ``peer`` at ``address``; another's certificate fails the handshake."""
    return grpc.aio.secure_channel(
        _target(address), tls.channel_credentials(), options=_options(peer, tls), interceptors=interceptors
    )


def dial_blocking(address: str, tls: Tls, peer: Identity, *, interceptors: Sequence[Any] = ()) -> grpc.Channel:
    """Do the same for callers without an event loop."""
    channel = grpc.secure_channel(_target(address), tls.channel_credentials(), options=_options(peer, tls))
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a call, by the certificate of the handshake."""

    uri: str
    """The SPIFFE URI, empty if it does not state one."""
    identity: Identity | None
    """None if the URI is not that of a member of any cluster."""
    thumbprint: str
    """SHA-256 of the certificate (RFC 8705, x5t#S256); empty if there is none."""
    valid_from: float
    """Seconds since 1970, as ``valid_until``."""
    valid_until: float = math.inf
    certificate_pem: bytes = b""

    def demand_identity(self, cluster: str) -> Identity:
        """Return who it is; raises `IdentityRefused`."""
        if not self.uri:
            raise IdentityRefused("the certificate must have exactly one URI, a SPIFFE one")
        identity = self.identity
        if identity is None:
            raise IdentityRefused(f"not an identity of this kind of cluster: {self.uri[:200]!r}")
        if identity.cluster != cluster:
            raise IdentityRefused(f"the certificate is of the cluster {identity.cluster}, not of {cluster}")
        return identity

    def is_revoked(self, revoked: Revoked) -> bool:
        """Tell whether its certificate is worth nothing any more."""
        since = revoked.get(self.identity) if self.identity is not None else None
        return since is not None and self.valid_from < since

    def is_signed_by_any(self, authorities_pem: bytes) -> bool:
        """Tell whether one of the authorities in a PEM has signed its certificate: who is trusted may change."""
        return _is_signed_by_any(self.certificate_pem, authorities_pem)


def read_peer(auth_context: Mapping[str, Iterable[bytes]]) -> Peer:
    """Return who has called, from what gRPC says of the handshake.

    Only ``peer_spiffe_id`` counts: gRPC gives it when there is exactly one URI and it
    is a SPIFFE one. Its ``peer_identities`` would fall back to the common name.
    """
    return _read_peer(tuple(auth_context.get("peer_spiffe_id", ())), tuple(auth_context.get("x509_pem_cert", ())))


def _target(address: str) -> str:
    """Say that an address is host and port: ``unix:1`` would be a file to gRPC, ``xds:1`` a service to ask."""
    return f"dns:///{address}"


def _options(peer: Identity, tls: Tls) -> list[tuple[str, Any]]:
    return [*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", demanded_name(peer, tls.revoked))]


def _read(path: Path, consequence: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CertificateUnusable(f"there is no file {path}: {consequence}") from error
    except OSError as error:
        raise CertificateUnusable(f"cannot read {path} ({error.strerror}): {consequence}") from error


def _demand_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise CertificateUnusable(f"{path} can be read by others: chmod 600 {path}")


def _parse_certificate(path: Path, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateUnusable(f"{path} is not a certificate in PEM: make it anew") from error


def _parse_authorities(path: Path, pem: bytes) -> list[x509.Certificate]:
    """Return the authorities that are valid now; one at least."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateUnusable(f"{path} is not a certificate in PEM: make it anew") from error
    now = datetime.now(UTC)
    valid = [each for each in found if each.not_valid_before_utc <= now <= each.not_valid_after_utc]
    if not valid:
        _demand_valid_now(path, found[0])
    return valid


def _find_key(path: Path, pem: bytes, leaf: x509.Certificate) -> bytes | None:
    """Return, of the keys in a file, the one that fits the certificate."""
    blocks = KEY_BLOCK.findall(pem) or [pem]
    for block in blocks:
        try:
            key = serialization.load_pem_private_key(block, password=None)
        except (ValueError, TypeError) as error:
            raise CertificateUnusable(f"{path} is not an unencrypted private key in PEM: make it anew") from error
        if _public_bytes(key) == _public_bytes(leaf):
            return bytes(block)
    return None


def _demand_signed(files: TlsFiles, leaf: x509.Certificate, authorities: Iterable[x509.Certificate]) -> None:
    if not any(has_signed(authority, leaf) for authority in authorities):
        raise CertificateUnusable(f"{files.certificate} is not signed by {files.ca}: make it anew")


@lru_cache(maxsize=4096)
def _is_signed_by_any(pem: bytes, authorities_pem: bytes) -> bool:
    leaf = x509.load_pem_x509_certificate(pem)
    return any(has_signed(authority, leaf) for authority in x509.load_pem_x509_certificates(authorities_pem))


def _public_bytes(holder: PrivateKeyTypes | x509.Certificate) -> bytes:
    return holder.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _demand_valid_now(path: Path, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise CertificateUnusable(
            f"{path} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: make it anew"
        )
    if now < certificate.not_valid_before_utc:
        since = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise CertificateUnusable(f"{path} is not valid before {since}: check this machine's clock")


def _demand_use(path: Path, leaf: x509.Certificate, kind: PeerKind) -> None:
    """Demand that nodes may serve and call with their certificate, and others call."""
    serves = kind in (PeerKind.BANK, PeerKind.GATEWAY)
    needed = {ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if serves else [])}
    try:
        allowed = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return  # good for every use
    if not needed <= allowed:
        used = "to serve and to call" if serves else "to call"
        raise CertificateUnusable(f"{path} may not be used {used}: make it anew, with that extended key usage")


def _own_identity(path: Path, leaf: x509.Certificate) -> Identity:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse_identity(uri)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateUnusable(
            f"{path} does not have exactly one SPIFFE URI of a cluster: make it anew"
        ) from error


def _thumbprint(certificate: x509.Certificate) -> str:
    return _encode(certificate.public_bytes(serialization.Encoding.DER))


@lru_cache(maxsize=4096)
def _read_peer(uris: tuple[bytes, ...], pems: tuple[bytes, ...]) -> Peer:
    uri = uris[0].decode("ascii", "replace") if len(uris) == 1 else ""
    identity = None
    with suppress(ValueError):
        identity = parse_identity(uri)
    if not pems:
        return Peer(uri, identity, "", -math.inf)
    leaf = x509.load_pem_x509_certificate(pems[0])
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    thumbprint = _encode(ssl.PEM_cert_to_DER_cert(pems[0].decode("ascii")))
    return Peer(uri, identity, thumbprint, begins, ends, pems[0])


def _valid_from(pem: bytes) -> float:
    return x509.load_pem_x509_certificate(pem).not_valid_before_utc.timestamp()


def _encode(der: bytes) -> str:
    return urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
