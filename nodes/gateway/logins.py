"""Logins: a password becomes a token, a token becomes a login, until it expires or is revoked.

A stranger learns nothing here but whether user and password are right together: for a
user who does not exist the same work is done and the same is answered; it is the work for one of the
users, always the same one for a name, since some may have costlier hashes than others. The work,
argon2id, is done on two threads that yield to the payments', with a short queue; beyond it a login is refused,
so that a flood of logins takes neither memory nor the payments' time.

A token ends early when it is revoked (logout; durable before it is answered), when its
user is gone, disabled or has another role, and when the password has changed: the token's
id ends with a stamp of the password hash that it was given for. The users are read again
when their file changes, so all of that counts from the next call on.
"""

import asyncio
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from nodes.core.names import USER_NAME_RULE, is_user_name
from nodes.core.users import User
from nodes.gateway.throttle import Throttle
from nodes.gateway.tokens import TokenIssuer, refuse_token
from nodes.gateway.users import Users
from nodes.runtime.access import Login
from nodes.runtime.passwords import PASSWORD_RULE, hash_password, is_password, make_decoy, verify_password
from nodes.runtime.refusal import RequestRefused

_THREADS = 2
_LOGINS_MAX = 32
"""Logins under way, those that wait for a thread included. More than one certificate's failures at once."""
_RETRY_AFTER_S = 1.0
_NICER_BY = 10
"""A tenth of a processor at least where all else wants it whole: a login then takes 0.2 s, and comes about."""


class Revocations(Protocol):
    """Where revoked tokens are kept; times in seconds since 1970."""

    def revoked_tokens(self, now: float) -> Iterable[tuple[str, float]]:
        """Return (token id, when it expires) of those that have not expired by now."""

    def revoke_token(self, token_id: str, expires_at: float) -> None:
        """Remember one, durably before this returns."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The answer to a login; ``expires_at`` in seconds since 1970."""

    token: str = field(repr=False)
    expires_at: float
    user: str
    role: int


class Logins:
    """All logins of the gateway. For one event loop; `close` ends its threads.

    ``clock`` gives seconds since 1970; ``steady_clock`` seconds that never go back.
    """

    def __init__(
        self,
        users: Users,
        tokens: TokenIssuer,
        revocations: Revocations,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.use_users(users)
        self._tokens = tokens
        self._clock = clock
        self._throttle = Throttle(steady_clock)
        self._revocations = revocations
        self._revoked = dict(sorted(revocations.revoked_tokens(clock()), key=lambda revoked: revoked[1]))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password", initializer=_yield_to_others)
        self._under_way = 0

    def close(self) -> None:
        """End the threads; logins that wait for one are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def use_users(self, users: Users) -> None:
        """Know these users from now on, and no others."""
        self._users = {name: user for name, user in users.items() if not user.is_disabled}
        self._stamps = {name: _stamp(user) for name, user in self._users.items()}
        hashes = sorted(user.password_hash for user in self._users.values()) or [
            hash_password(secrets.token_hex())
        ]
        self._decoys = list(map(make_decoy, hashes))
        # What only the users file tells, so that it outlives a start and nobody can tell who would get which.
        self._decoy_key = hashlib.sha256("".join(hashes).encode()).digest()

    async def log_in(self, user: str, password: str, thumbprint: str) -> LoggedIn:
        """Give a token for the certificate of ``thumbprint``; raises `RequestRefused`."""
        _check_fields(user, password)
        if self._under_way >= _LOGINS_MAX:
            said = "too many logins at once: try again"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=_RETRY_AFTER_S)
        self._throttle.charge(user, thumbprint)
        known, decoy = self._users.get(user), self._find_decoy(user)
        is_right = await self._check_password(password, known.password_hash if known else decoy)
        # Who has changed meanwhile was asked for a password that is no longer theirs.
        if known is None or not is_right or self._users.get(user) != known:
            raise RequestRefused(grpc.StatusCode.UNAUTHENTICATED, "user or password is wrong")
        self._throttle.give_back(user, thumbprint)
        token_id = f"{secrets.token_hex(16)}.{self._stamps[user]}"
        token, expires_at = self._tokens.issue(
            user, known.role, token_id=token_id, thumbprint=thumbprint, now=self._clock()
        )
        return LoggedIn(token, expires_at, user, known.role)

    def log_out(self, token_id: str, expires_at: float) -> None:
        """Revoke a token, durably."""
        self._revocations.revoke_token(token_id, expires_at)
        self._revoked[token_id] = expires_at
        self._forget_expired()

    def authenticate(self, token: str, thumbprint: str) -> Login:
        """Return the login that a token stands for; raises `RequestRefused` (UNAUTHENTICATED) and nothing else."""
        login = self._tokens.verify(token, thumbprint, self._clock())
        if login.token_id in self._revoked:
            refuse_token("the token was revoked by a logout: log in again")
        user = self._users.get(login.user)
        stamp = login.token_id.rpartition(".")[2]
        if user is None or user.role != login.role or self._stamps[user.name] != stamp:
            refuse_token("the user's role or password has changed: log in again")
        return login

    def _find_decoy(self, user: str) -> str:
        """Return what the password of somebody who is not there is compared with."""
        picked = hashlib.blake2b(user.encode(), digest_size=8, key=self._decoy_key).digest()
        return self._decoys[int.from_bytes(picked) % len(self._decoys)]

    async def _check_password(self, password: str, password_hash: str) -> bool:
        self._under_way += 1
        work = self._threads.submit(verify_password, password, password_hash)
        try:
            return await asyncio.wrap_future(work)
        finally:
            self._under_way -= 1

    def _forget_expired(self) -> None:
        # In the order of revoking, so each is gone an hour after it at the latest.
        now = self._clock()
        while self._revoked:
            token_id, expires_at = next(iter(self._revoked.items()))
            if expires_at > now:
                return
            del self._revoked[token_id]


def _yield_to_others() -> None:
    """Let this thread have a processor only when few others want it; Linux keeps that for each thread."""
    thread = threading.get_native_id()
    priority = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, min(19, priority + _NICER_BY))


def _check_fields(user: str, password: str) -> None:
    for name, is_sound, rule in (
        ("user", is_user_name(user), USER_NAME_RULE),
        ("password", is_password(password), PASSWORD_RULE),
    ):
        if not is_sound:
            said = f"must be {rule}"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"{name}: {said}", [(name, said)])


def _stamp(user: User) -> str:
    """Return what a password hash leaves in a token's id: it changes with the hash and does not give it away."""
    return hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]
