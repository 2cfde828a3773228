"""Certificates and keys as PEM files: read whatever lies there, replaced so that they always fit.

A certificate and its key are two files, and two files cannot be replaced in one step. So
a key file holds the old key and the new one while the certificate between them is
replaced: whoever reads takes the one that fits (`nodes.runtime.tls`), at each moment and
after a crash at any.
"""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nodes.runtime.crash_points import reach
from nodes.runtime.tls import KEY_BLOCK
from orchestrator.layout.files import write_whole

Key = ec.EllipticCurvePrivateKey


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a file; none if it cannot be read."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []


def load_certificate(path: Path) -> x509.Certificate | None:
    """Return the first certificate of a file."""
    return next(iter(load_certificates(path)), None)


def load_keys(path: Path) -> list[Key]:
    """Return the elliptic curve keys of a file; none if one of them cannot be read."""
    try:
        text = path.read_bytes()
        keys = [
            serialization.load_pem_private_key(pem, password=None) for pem in KEY_BLOCK.findall(text) or [text]
        ]
    except (OSError, ValueError, TypeError):
        return []
    return [key for key in keys if isinstance(key, Key)]


def find_key(path: Path, certificate: x509.Certificate) -> Key | None:
    """Return, of the keys in a file, the one that fits the certificate."""
    return next((key for key in load_keys(path) if key.public_key() == certificate.public_key()), None)


def find_uri(certificate: x509.Certificate) -> str:
    """Return whom a certificate is for; empty if it does not say so once."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


def new_key() -> Key:
    """Make a key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """Return an unencrypted key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def write_pair(certificate_path: Path, key_path: Path, certificate: x509.Certificate, key: Key) -> None:
    """Put a certificate and its key in the place of the ones that lie there, if any."""
    old = load_certificate(certificate_path)
    old_key = find_key(key_path, old) if old else None
    if old_key is not None:
        # The old one first: who takes the first key of a file is right for longest.
        write_whole(key_path, key_pem(old_key) + key_pem(key))
        write_whole(certificate_path, certificate_pem(certificate), mode=0o644)
    write_whole(key_path, key_pem(key))
    if old_key is None:
        reach("up.certificates.leaf-half-made")
        write_whole(certificate_path, certificate_pem(certificate), mode=0o644)


def trim_keys(certificate_path: Path, key_path: Path) -> bool:
    """Leave of several keys the one that fits, as if no replacement had stopped half-way; tell if there were."""
    certificate = load_certificate(certificate_path)
    if certificate is None or len(load_keys(key_path)) < 2:
        return False
    key = find_key(key_path, certificate)
    if key is not None:
        write_whole(key_path, key_pem(key))
    return key is not None
