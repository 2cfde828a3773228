"""What the logins are worth that the gateway names behind payments: each is looked at once, then remembered.

A bank is not asked to trust that the gateway looked: it checks the gateway's signature
itself, so a payment needs a login that somebody gave a password for, and no mistake in the
gateway's handling of payments makes one up. The keys come with the payments, over the line
that only the gateway can hold.
"""

from collections import OrderedDict
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from nodes.core.authority import Grant
from nodes.core.soundness import Unsound
from nodes.core.users import Role
from nodes.runtime.token_keys import name_key, read_public_key
from nodes.runtime.token_reading import LEEWAY_S, TokenInvalid, read_token

_REMEMBERED_MAX = 10_000
_MICROSECONDS = 1_000_000


class Grants:
    """Everything that a bank knows of logins at the gateway of ``cluster``."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._pems: tuple[str, ...] = ()
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._remembered: OrderedDict[str, Grant | None] = OrderedDict()

    def use_keys(self, pems: Sequence[str]) -> None:
        """Know these keys from now on, and no others; raises `Unsound` if one is none."""
        if tuple(pems) == self._pems:
            return
        try:
            self._keys = {name_key(key): key for key in map(read_public_key, pems)}
        except ValueError as error:
            raise Unsound("token_keys: must be public keys on the curve P-256") from error
        self._pems = tuple(pems)
        self._remembered.clear()

    def find(self, login: str) -> Grant | None:
        """Return what a login says; None if it is not genuine, or is nobody's who may pay."""
        if login in self._remembered:
            return self._remembered[login]
        grant = self._remembered[login] = self._read(login)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return grant

    def _read(self, login: str) -> Grant | None:
        try:
            claims = read_token(login, self._cluster, self._keys)
        except TokenInvalid:
            return None
        if claims.role != Role.CUSTOMER:
            return None
        begins, ends = claims.begins_at - LEEWAY_S, claims.expires_at + LEEWAY_S
        return Grant(claims.user, begins * _MICROSECONDS, ends * _MICROSECONDS)
