"""Passwords: argon2id at OWASP's least cost, 19 MiB and 2 passes, about 20 ms on a core.

Both functions compute for that long without holding the interpreter's lock: a server
calls them on threads, few of them, since each takes the memory as well.

Source: RFC 9106; OWASP Password Storage Cheat Sheet.
"""

import os
import unicodedata
from base64 import b64encode

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from nodes.core.users import MEMORY_KIB_MIN, PASSES_MIN

PASSWORD_RULE = "1 to 128 characters, none of them NUL"  # noqa: S105 - a rule for people
_PASSWORD_MAX = 128


def is_password(text: str) -> bool:
    """Tell whether ``text`` may be a password (`PASSWORD_RULE`)."""
    return 1 <= len(text) <= _PASSWORD_MAX and "\0" not in text


def hash_password(password: str) -> str:
    """Return a hash for the users file, salted anew, in PHC form; ValueError if this cannot be a password."""
    if not is_password(password):
        raise ValueError(f"a password has {PASSWORD_RULE}")
    argon2id = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES_MIN, lanes=1, memory_cost=MEMORY_KIB_MIN)
    return argon2id.derive_phc_encoded(_encode(password))


def verify_password(password: str, password_hash: str) -> bool:
    """Tell whether the password is the one that was hashed."""
    try:
        Argon2id.verify_phc_encoded(_encode(password), password_hash)
    except InvalidKey:
        return False
    return True


def make_decoy(password_hash: str) -> str:
    """Return a hash of no password at all that takes the same time to check: cost and lengths are kept."""
    *costs, salt, derived = password_hash.split("$")
    return "$".join((*costs, _random_like(salt), _random_like(derived)))


def _random_like(text: str) -> str:
    """Return random bytes in base64 without padding, as many as ``text`` has."""
    return b64encode(os.urandom(len(text) * 3 // 4)).rstrip(b"=").decode()


def _encode(password: str) -> bytes:
    # Keyboards differ in how they compose an accent; the password is the same.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
