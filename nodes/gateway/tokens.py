"""Tokens: ES256 JWTs that the gateway gives to a login and takes back, bound to a certificate.

A token is an access token of RFC 9068, held to RFC 8725: one algorithm; ``typ`` is
``at+jwt``; a header has alg, typ and kid and nothing else, so that no token brings its
own key (jwk, jku, x5u) or demands an extension (crit); ``kid`` only picks among the
keys known here; every claim is there and of its type; the life is capped whatever the
token says. ``cnf`` binds it to the certificate that logged in (RFC 8705): stolen, it
is worth nothing without that certificate's key.

    iss  spiffe://<cluster>/gateway     iat, nbf, exp  whole seconds since 1970
    aud  <cluster>                      jti            the token's id, for revoking it
    sub  the user                       cnf            {"x5t#S256": <thumbprint>}
    role as in interbank.v1.Role

Checking a signature costs about 70 us, so the tokens that passed are remembered; what
may change for them, time and the certificate they come over, is checked on each use.
"""

import hashlib
import json
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import grpc
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.types import Options
from jwt.utils import base64url_encode

from nodes.core.names import Identity, PeerKind, is_user_name
from nodes.core.users import Role
from nodes.runtime.access import Login
from nodes.runtime.refusal import RequestRefused

LIFETIME_S_MAX = 3600
_ALGORITHM = "ES256"
_TYPE = "at+jwt"
_LEEWAY_S = 5
"""How far the clock may have been set back since a token was given."""
_TOKEN_LENGTH_MAX = 2048
_REMEMBERED_MAX = 4096
_KEY_BYTES_MAX = 64 * 1024
_READING: Options = {
    "require": ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "cnf"],
    "strict_aud": True,
    # The times are checked here, by the clock of the caller.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
_HOW_TO_RENEW = "delete it and let `cluster up` make another (all users log in again)"


class TokenKeyUnusable(Exception):
    """The key that signs tokens cannot be used; the message says which file, why and what to do."""


class TokenIssuer:
    """Gives tokens and checks them. ``lifetime_s`` is at most `LIFETIME_S_MAX`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, cluster: str, lifetime_s: int = LIFETIME_S_MAX) -> None:
        assert 0 < lifetime_s <= LIFETIME_S_MAX, "a token lives an hour at most"
        self._key = key
        self._key_id = _thumbprint_key(key.public_key())
        self._known_keys = {self._key_id: key.public_key()}
        self._issuer = Identity(cluster, PeerKind.GATEWAY).uri
        self._cluster = cluster
        self._lifetime_s = lifetime_s
        self._remembered: OrderedDict[str, tuple[Login, str]] = OrderedDict()

    def issue(self, user: str, role: int, *, token_id: str, thumbprint: str, now: float) -> tuple[str, float]:
        """Return a token for a user who calls with the certificate of ``thumbprint``, and when it expires."""
        issued_at = int(now)
        expires_at = issued_at + self._lifetime_s
        claims = {
            "iss": self._issuer,
            "aud": self._cluster,
            "sub": user,
            "role": int(role),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": expires_at,
            "jti": token_id,
            "cnf": {"x5t#S256": thumbprint},
        }
        headers = {"typ": _TYPE, "kid": self._key_id}
        return jwt.encode(claims, self._key, _ALGORITHM, headers), float(expires_at)

    def verify(self, token: str, thumbprint: str, now: float) -> Login:
        """Return the login that a token stands for; raises `RequestRefused` (UNAUTHENTICATED) and nothing else.

        Says nothing about revocation: that is for the caller to look up.
        """
        login, bound_to = self._remembered.get(token) or self._read(token, now)
        if login.expires_at <= now:
            refuse_token("the token has expired: log in again")
        if bound_to != thumbprint:
            refuse_token("the token was given to another certificate: log in with this one")
        self._remembered[token] = login, bound_to
        self._remembered.move_to_end(token)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return login

    def _read(self, token: str, now: float) -> tuple[Login, str]:
        if len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
            _refuse_invalid()
        try:
            key = self._find_key(jwt.get_unverified_header(token))
            claims = jwt.decode(token, key, [_ALGORITHM], _READING, audience=self._cluster, issuer=self._issuer)
        except jwt.PyJWTError:
            _refuse_invalid()
        return _read_claims(claims, now)

    def _find_key(self, header: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
        key = self._known_keys.get(header.get("kid", ""))
        if key is None or header != {"alg": _ALGORITHM, "typ": _TYPE, "kid": header["kid"]}:
            _refuse_invalid()
        return key


def _read_claims(claims: Mapping[str, Any], now: float) -> tuple[Login, str]:
    """Return the login and the certificate's thumbprint of claims whose signature, iss and aud are right."""
    user, role, token_id = claims["sub"], claims["role"], claims["jti"]
    times = claims["iat"], claims["nbf"], claims["exp"]
    is_sound = (
        is_user_name(user)
        and type(role) is int
        and role in list(Role)
        and isinstance(token_id, str)
        and token_id != ""
        and all(type(time) is int for time in times)
        and max(times[:2]) <= now + _LEEWAY_S
        and 0 < claims["exp"] - claims["iat"] <= LIFETIME_S_MAX
    )
    binding = claims["cnf"]
    bound_to = binding.get("x5t#S256") if isinstance(binding, dict) and len(binding) == 1 else None
    if not is_sound or not isinstance(bound_to, str):
        _refuse_invalid()
    return Login(user, role, token_id, float(claims["exp"])), bound_to


def refuse_token(message: str) -> NoReturn:
    """Refuse the call that brought a token."""
    raise RequestRefused(grpc.StatusCode.UNAUTHENTICATED, message) from None


def _refuse_invalid() -> NoReturn:
    # Which check failed is of use to a forger alone.
    refuse_token("the token is not valid: log in again")


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


def _thumbprint_key(key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a key that follows from the key alone (RFC 7638)."""
    numbers = key.public_numbers()
    x, y = (base64url_encode(number.to_bytes(32)).decode() for number in (numbers.x, numbers.y))
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()
