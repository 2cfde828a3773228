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
may change for them, time and the certificate they come over, is checked on each use. A
retired key (`nodes.runtime.token_keys`) is known for an hour and a minute, so all that it
signed has expired by itself when its time has come; kept longer, it is still refused then.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.types import Options

from nodes.core.names import Identity, PeerKind, is_user_name
from nodes.core.users import Role
from nodes.runtime.access import Login
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.token_keys import RetiredKey, TokenKeys, name_key

LIFETIME_S_MAX = 3600
_ALGORITHM = "ES256"
_TYPE = "at+jwt"
_LEEWAY_S = 5
"""How far the clock may have been set back since a token was given."""
_TOKEN_LENGTH_MAX = 2048
_REMEMBERED_MAX = 4096
_READING: Options = {
    "require": ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "cnf"],
    "strict_aud": True,
    # The times are checked here, by the clock of the caller.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenIssuer:
    """Gives tokens and checks them. ``lifetime_s`` is at most `LIFETIME_S_MAX`."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        cluster: str,
        lifetime_s: int = LIFETIME_S_MAX,
        *,
        retired: Sequence[RetiredKey] = (),
    ) -> None:
        assert 0 < lifetime_s <= LIFETIME_S_MAX, "a token lives an hour at most"
        self.use_keys(TokenKeys(key, tuple(retired)))
        self._issuer = Identity(cluster, PeerKind.GATEWAY).uri
        self._cluster = cluster
        self._lifetime_s = lifetime_s

    def use_keys(self, keys: TokenKeys) -> None:
        """Sign with another key from now on; what a retired one signed is good until it is past its time."""
        self._key = keys.signs
        self.key_id = name_key(keys.signs.public_key())
        self._known_keys = {name_key(key): (key, float(until)) for key, until in keys.retired}
        self._known_keys[self.key_id] = keys.signs.public_key(), math.inf
        # Who signed them is not remembered with them, so each is looked at once more.
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
        headers = {"typ": _TYPE, "kid": self.key_id}
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
            key = self._find_key(jwt.get_unverified_header(token), now)
            claims = jwt.decode(token, key, [_ALGORITHM], _READING, audience=self._cluster, issuer=self._issuer)
        except jwt.PyJWTError:
            _refuse_invalid()
        return _read_claims(claims, now)

    def _find_key(self, header: Mapping[str, Any], now: float) -> ec.EllipticCurvePublicKey:
        key, until = self._known_keys.get(header.get("kid", ""), (None, 0.0))
        if key is None or until <= now or header != {"alg": _ALGORITHM, "typ": _TYPE, "kid": header["kid"]}:
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
