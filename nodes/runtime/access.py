"""Who may call what: the rules declared in the .proto files, enforced on every call.

Denied unless allowed: a rule names the kinds of certificate that may call, and the
roles if a login is asked for. A method without a rule keeps its server from starting.
Methods read who calls from `current_caller`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import NamedTuple

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from interbank.v1 import access_pb2

from nodes.core.names import Identity, PeerKind
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.revocations import NOBODY
from nodes.runtime.rpc import Metadata
from nodes.runtime.tls import IdentityRefused, Peer


class AccessRuleMissing(Exception):
    """An RPC has no rule; the server must not start."""


class Login(NamedTuple):
    """Who is logged in; ``role`` is an interbank.v1.Role, ``expires_at`` in seconds since 1970."""

    user: str
    role: int
    token_id: str
    expires_at: float


class Caller(NamedTuple):
    """Who calls: the certificate's identity and thumbprint, and the login if the RPC asks for one."""

    identity: Identity
    thumbprint: str
    login: Login | None
    token: str = ""
    """What the login came with."""


class Rule(NamedTuple):
    """Who may call one method. No roles: the certificate suffices."""

    peers: frozenset[PeerKind]
    roles: frozenset[int]


Authenticate = Callable[[str, str], Login]
"""(token, thumbprint of the caller's certificate) -> login; raises `RequestRefused`."""

_caller: ContextVar[Caller] = ContextVar("caller")
_HEALTH = "grpc.health.v1.Health"
_NOT_OFFERED = frozenset({f"/{_HEALTH}/List"})
"""What gRPC's own servicer has no answer for."""
_ANY_CERTIFICATE = Rule(frozenset(PeerKind), frozenset())
_NOBODY = Rule(frozenset(), frozenset())


def current_caller() -> Caller:
    """Return who has called the method that runs now."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Make ``caller`` the one whom `current_caller` returns for the rest of this call."""
    _caller.set(caller)


def collect_rules(services: Iterable[str]) -> dict[str, Rule]:
    """Return the rule of each method (``/package.Service/Method``) of the services; raises `AccessRuleMissing`.

    The health service, which is not ours to annotate, answers any certificate of the cluster.
    """
    rules = {}
    for service in services:
        described = descriptor_pool.Default().FindServiceByName(service)
        for method in described.methods:
            name = f"/{service}/{method.name}"
            if name in _NOT_OFFERED:
                continue
            rules[name] = _ANY_CERTIFICATE if service == _HEALTH else _read_rule(name, method)
    return rules


def _read_rule(name: str, method: MethodDescriptor) -> Rule:
    declared = method.GetOptions().Extensions[access_pb2.access]
    if not declared.peers:
        raise AccessRuleMissing(f"{name} has no access rule: declare who may call it in its .proto file")
    return Rule(frozenset(map(PeerKind, declared.peers)), frozenset(declared.roles))


class Gatekeeper:
    """Decides on each call, by the rules of the methods that a server offers."""

    def __init__(self, cluster: str, rules: Mapping[str, Rule], authenticate: Authenticate | None) -> None:
        self._cluster = cluster
        self._rules = rules
        self._authenticate = authenticate
        self.revoked = NOBODY
        """Whose certificates are worth nothing; replaced when the file of revocations changes."""
        self.authorities_pem = b""
        """Who is trusted, once that has changed: what is connected may have come with another's certificate."""
        if authenticate is None and any(rule.roles for rule in rules.values()):
            raise AccessRuleMissing("some RPC asks for a login, and this server can check none")

    def admit(self, method: str, peer: Peer, metadata: Metadata) -> Caller:
        """Return who calls, if they may; raises `RequestRefused`."""
        identity = self.identify(peer)
        rule = self._rules.get(method, _NOBODY)
        if identity.kind not in rule.peers:
            raise RequestRefused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{_short(method)} is not for the certificate of {identity.path}",
            )
        if not rule.roles:
            return Caller(identity, peer.thumbprint, None)
        token = _bearer_token(metadata)
        return Caller(identity, peer.thumbprint, self._check_login(method, rule, token, peer.thumbprint), token)

    def identify(self, peer: Peer) -> Identity:
        """Return whose certificate it is, if it is one that counts; raises `RequestRefused`."""
        try:
            identity = peer.demand_identity(self._cluster)
        except IdentityRefused as error:
            raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error
        # A handshake that takes up a TLS session of before looks at no certificate (RFC 8446, section 2.2).
        if peer.valid_until < time.time():
            said = f"the certificate of {identity.path} has expired: show another"
            raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, said)
        if not self._is_trusted(identity, peer):
            said = f"the certificate of {identity.path} is of an authority that is trusted no more: show another"
            raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, said)
        if self.revoked and peer.is_revoked(self.revoked):
            said = f"the certificate of {identity.path} was revoked: ask the operator for another"
            raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, said)
        return identity

    def _is_trusted(self, identity: Identity, peer: Peer) -> bool:
        """Tell whether its authority is one of those that are trusted now.

        Clients that are connected go on until they connect anew: their logins are bound to the certificate.
        """
        if not self.authorities_pem or identity.kind is PeerKind.CLIENT:
            return True
        return peer.is_signed_by_any(self.authorities_pem)

    def admit_again(self, method: str, caller: Caller) -> None:
        """Demand of one whose stream goes on that the login still holds; raises `RequestRefused`."""
        rule = self._rules[method]
        if rule.roles:
            self._check_login(method, rule, caller.token, caller.thumbprint)

    def _check_login(self, method: str, rule: Rule, token: str, thumbprint: str) -> Login:
        assert self._authenticate is not None
        login = self._authenticate(token, thumbprint)
        if login.role not in rule.roles:
            wanted = " or ".join(sorted(map(_role_name, rule.roles)))
            raise RequestRefused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{_short(method)} needs the role {wanted}; {login.user} has the role {_role_name(login.role)}",
            )
        return login


def _bearer_token(metadata: Metadata) -> str:
    found = [value for key, value in metadata if key == "authorization"]
    if len(found) != 1 or not isinstance(found[0], str) or not found[0].startswith("Bearer "):
        raise RequestRefused(
            grpc.StatusCode.UNAUTHENTICATED, "log in first: exactly one 'authorization: Bearer <token>' is needed"
        )
    return found[0].removeprefix("Bearer ")


def _role_name(role: int) -> str:
    return access_pb2.Role.Name(role).removeprefix("ROLE_").lower()  # type: ignore[arg-type]


def _short(method: str) -> str:
    return method.rpartition("/")[2]
