"""What a login's token says, for whoever knows the keys that may have signed it: the gateway, and every bank.

A token is an access token of RFC 9068, held to RFC 8725 (`nodes.gateway.tokens` says what is in it).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.types import Options

from nodes.core.names import Identity, PeerKind, is_user_name
from nodes.core.users import Role

ALGORITHM = "ES256"
TYPE = "at+jwt"
LIFETIME_S_MAX = 3600
LEEWAY_S = 5
"""How far two clocks may differ, or one have been set back since a token was given."""
_TOKEN_LENGTH_MAX = 2048
_READING: Options = {
    "require": ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "cnf"],
    "strict_aud": True,
    # The times are for whoever asks to compare, by their own clock.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenInvalid(Exception):
    """It is no token of this cluster; which check failed is of use to a forger alone."""


class Claims(NamedTuple):
    """What a genuine token says; times in whole seconds since 1970."""

    user: str
    role: int
    token_id: str
    bound_to: str
    begins_at: int
    expires_at: int


def read_token(token: str, cluster: str, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Claims:
    """Return what a token of ``cluster`` says that one of ``keys``, by name, has signed; raises `TokenInvalid`.

    Whether it holds now, and for whom, is for the caller to compare.
    """
    if len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
        raise TokenInvalid
    issuer = Identity(cluster, PeerKind.GATEWAY).uri
    try:
        key = _find_key(jwt.get_unverified_header(token), keys)
        claims = jwt.decode(token, key, [ALGORITHM], _READING, audience=cluster, issuer=issuer)
    except jwt.PyJWTError as error:
        raise TokenInvalid from error
    return _read_claims(claims)


def _find_key(
    header: Mapping[str, Any], keys: Mapping[str, ec.EllipticCurvePublicKey]
) -> ec.EllipticCurvePublicKey:
    key = keys.get(header.get("kid", ""))
    if key is None or header != {"alg": ALGORITHM, "typ": TYPE, "kid": header["kid"]}:
        raise TokenInvalid
    return key


def _read_claims(claims: Mapping[str, Any]) -> Claims:
    user, role, token_id = claims["sub"], claims["role"], claims["jti"]
    times = claims["iat"], claims["nbf"], claims["exp"]
    is_sound = (
        is_user_name(user)
        and type(role) is int
        and role in list(Role)
        and isinstance(token_id, str)
        and token_id != ""
        and all(type(time) is int for time in times)
        and 0 < claims["exp"] - claims["iat"] <= LIFETIME_S_MAX
    )
    binding = claims["cnf"]
    bound_to = binding.get("x5t#S256") if isinstance(binding, dict) and len(binding) == 1 else None
    if not is_sound or not isinstance(bound_to, str):
        raise TokenInvalid
    return Claims(user, role, token_id, bound_to, max(times[:2]), claims["exp"])
