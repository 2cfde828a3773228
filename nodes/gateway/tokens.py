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
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NoReturn

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from nodes.core.names import Identity, PeerKind
from nodes.runtime.access import Login
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.token_keys import RetiredKey, TokenKeys, name_key, write_public_key
from nodes.runtime.token_reading import ALGORITHM, LEEWAY_S, LIFETIME_S_MAX, TYPE, TokenInvalid, read_token

_REMEMBERED_MAX = 4096


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
        self._public_pems = [(write_public_key(key), until) for key, until in self._known_keys.values()]
        # Who signed them is not remembered with them, so each is looked at once more.
        self._remembered: OrderedDict[str, tuple[Login, str]] = OrderedDict()

    def public_keys(self) -> list[str]:
        """Return the keys of all logins that hold, as PEM: what banks check them by."""
        now = time.time()
        return [pem for pem, until in self._public_pems if until > now]

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
        headers = {"typ": TYPE, "kid": self.key_id}
        return jwt.encode(claims, self._key, ALGORITHM, headers), float(expires_at)

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
        keys = {name: key for name, (key, until) in self._known_keys.items() if until > now}
        try:
            claims = read_token(token, self._cluster, keys)
        except TokenInvalid:
            _refuse_invalid()
        if claims.begins_at > now + LEEWAY_S:
            _refuse_invalid()
        return Login(claims.user, claims.role, claims.token_id, float(claims.expires_at)), claims.bound_to


def refuse_token(message: str) -> NoReturn:
    """Refuse the call that brought a token."""
    raise RequestRefused(grpc.StatusCode.UNAUTHENTICATED, message) from None


def _refuse_invalid() -> NoReturn:
    # Which check failed is of use to a forger alone.
    refuse_token("the token is not valid: log in again")
