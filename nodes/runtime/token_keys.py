"""The keys that logins are signed with: the one that signs now, and those that did until lately.

``token.key`` holds the private key that signs. When another takes over, the public half of
the old one is kept in ``token.retired.json`` beside it until the last token that it may have
signed has expired; its private half is gone:

    {"retired": [{"public_key": "-----BEGIN PUBLIC KEY-----...", "until": 1764033660}]}

``until`` is in whole seconds since 1970. Whoever rolls the keys writes the retired ones
first; whoever reads them reads the signing one first; so at each moment the key of every
token that is good is known.
"""

import hashlib
import json
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from nodes.core.json_text import demand_text, read_json

_KEY_BYTES_MAX = 64 * 1024
_SECONDS_MAX = 2**40
_HOW_TO_RENEW = "delete it and let `cluster up` make another (all users log in again)"


class TokenKeyUnusable(Exception):
    """The keys that sign tokens cannot be used; the message says which file, why and what to do."""


class RetiredKey(NamedTuple):
    """A key that signs no more, and until when what it signed is good, in seconds since 1970."""

    public_key: ec.EllipticCurvePublicKey
    until: int


class TokenKeys(NamedTuple):
    """All keys whose signature may be good."""

    signs: ec.EllipticCurvePrivateKey
    retired: tuple[RetiredKey, ...]


def find_retired(path: Path) -> Path:
    """Return where the retired keys lie beside the key in ``path``."""
    return path.with_suffix(".retired.json")


def load_token_keys(path: Path) -> TokenKeys:
    """Read the key in ``path``, then the retired ones beside it; raises `TokenKeyUnusable`."""
    return TokenKeys(load_token_key(path), load_retired(find_retired(path)))


def load_token_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key that signs tokens (PEM, P-256); raises `TokenKeyUnusable`."""
    try:
        with path.open("rb") as file:
            is_private = not stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            text = file.read(_KEY_BYTES_MAX)
    except FileNotFoundError as error:
        raise TokenKeyUnusable(f"the token key {path} is missing: `cluster up` makes it") from error
    except OSError as error:
        raise TokenKeyUnusable(f"cannot read the token key {path}: {error.strerror}") from error
    if not is_private:
        raise TokenKeyUnusable(f"the token key {path} can be read by others: chmod 600 it, or {_HOW_TO_RENEW}")
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TokenKeyUnusable(f"{path} holds no unencrypted private key in PEM: {_HOW_TO_RENEW}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenKeyUnusable(f"the key in {path} is not on the curve P-256: {_HOW_TO_RENEW}")
    return key


def load_retired(path: Path) -> tuple[RetiredKey, ...]:
    """Read the keys that sign no more; none if there is no such file. Raises `TokenKeyUnusable`."""
    try:
        return tuple(map(_read_row, read_json(path.read_text(encoding="utf-8"))["retired"]))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokenKeyUnusable(f"cannot read the retired token keys {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, UnsupportedAlgorithm) as error:
        raise TokenKeyUnusable(
            f"{path} is no list of retired token keys: {error!r}; delete it (some users log in again)"
        ) from error


def write_retired(retired: Sequence[RetiredKey]) -> bytes:
    """Return what the file of retired keys holds."""
    rows = [{"public_key": write_public_key(key), "until": until} for key, until in retired]
    return (json.dumps({"retired": rows}, indent=2) + "\n").encode()


def write_public_key(key: ec.EllipticCurvePublicKey) -> str:
    """Return a public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key of a PEM; raises ValueError."""
    try:
        key = load_pem_public_key(pem.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError("not a public key on the curve P-256") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a public key on the curve P-256")
    return key


def name_key(key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a key that follows from the key alone (RFC 7638)."""
    numbers = key.public_numbers()
    x, y = (_encode(number.to_bytes(32)) for number in (numbers.x, numbers.y))
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return _encode(hashlib.sha256(canonical.encode()).digest())


def _read_row(row: Any) -> RetiredKey:
    until = row["until"]
    if type(until) is not int or not 0 <= until < _SECONDS_MAX:
        raise ValueError(f"'until' must be whole seconds since 1970, not {until!r}")
    return RetiredKey(read_public_key(demand_text(row["public_key"])), until)


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
