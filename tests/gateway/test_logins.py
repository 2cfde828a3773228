import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nodes.core.users import Role, User
from nodes.gateway import logins as module
from nodes.gateway.logins import Logins, Revocations
from nodes.gateway.store import GatewayStore
from nodes.gateway.throttle import PAIR
from nodes.gateway.tokens import TokenIssuer
from nodes.runtime.passwords import hash_password
from nodes.runtime.refusal import RequestRefused

SHELL, OTHER = "thumbprint-of-shell", "thumbprint-of-another"
KEY = ec.generate_private_key(ec.SECP256R1())
USERS = {
    "alice": User("alice", Role.CUSTOMER, hash_password("alice123"), {}),
    "eve": User("eve", Role.AUDITOR, hash_password("eve123"), {}),
}


class InMemoryRevocations:
    """As the store keeps them, without a disk."""

    def __init__(self) -> None:
        self.tokens: dict[str, float] = {}

    def revoked_tokens(self, now: float) -> list[tuple[str, float]]:
        return [(token_id, expires_at) for token_id, expires_at in self.tokens.items() if expires_at > now]

    def revoke_token(self, token_id: str, expires_at: float) -> None:
        self.tokens[token_id] = expires_at


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Gateway:
    """What a gateway keeps over its starts: clock, key and revocations."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.revocations = InMemoryRevocations()
        self.started: list[Logins] = []

    def start(self, users: Mapping[str, User] = USERS, revocations: Revocations | None = None) -> Logins:
        kept = revocations or self.revocations
        tokens = TokenIssuer(KEY, "payments.local")
        self.started.append(Logins(users, tokens, kept, clock=self.clock, steady_clock=self.clock))
        return self.started[-1]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    for logins in gateway.started:
        logins.close()


@pytest.fixture
def logins(gateway: Gateway) -> Logins:
    return gateway.start()


class SlowHashing:
    """Password checks that wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.running = 0
        self.running_max = 0
        self._lock = threading.Lock()

    def __call__(self, password: str, password_hash: str) -> bool:
        with self._lock:
            self.running += 1
            self.running_max = max(self.running, self.running_max)
        self.entered.release()
        assert self.go.wait(10)
        with self._lock:
            self.running -= 1
        return password == "right"


@pytest.fixture
async def hashing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowHashing]:
    hashing = SlowHashing()
    monkeypatch.setattr(module, "verify_password", hashing)
    yield hashing
    hashing.go.set()


async def refusal_of_login(logins: Logins, user: str, password: str, thumbprint: str = SHELL) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        await logins.log_in(user, password, thumbprint)
    return caught.value


def refusal_of_token(logins: Logins, token: str, thumbprint: str = SHELL) -> str:
    with pytest.raises(RequestRefused) as caught:
        logins.authenticate(token, thumbprint)
    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED
    return caught.value.message


# -- logging in ---------------------------------------------------------------


async def test_the_right_password_gives_a_token_that_is_a_login(gateway: Gateway, logins: Logins) -> None:
    logged_in = await logins.log_in("eve", "eve123", SHELL)
    assert (logged_in.user, logged_in.role) == ("eve", 3)
    assert logged_in.expires_at == gateway.clock.now + 3600
    login = logins.authenticate(logged_in.token, SHELL)
    assert (login.user, login.role, login.expires_at) == ("eve", 3, logged_in.expires_at)


async def test_two_logins_have_tokens_of_two_ids(logins: Logins) -> None:
    tokens = [(await logins.log_in("alice", "alice123", SHELL)).token for _ in range(2)]
    first, second = (logins.authenticate(token, SHELL).token_id for token in tokens)
    assert first != second


async def test_a_token_is_not_shown_with_its_login(logins: Logins) -> None:
    logged_in = await logins.log_in("alice", "alice123", SHELL)
    assert logged_in.token not in repr(logged_in)


async def test_wrong_password_and_unknown_user_are_answered_alike(logins: Logins) -> None:
    wrong = await refusal_of_login(logins, "alice", "eve123")
    unknown = await refusal_of_login(logins, "mallory", "eve123")
    assert wrong.code == unknown.code == grpc.StatusCode.UNAUTHENTICATED
    assert wrong.message == unknown.message == "user or password is wrong"


COSTLY = "$argon2id$v=19$m=38912,t=5,p=2$" + "A" * 22 + "$" + "B" * 43
"""A hash of twice the memory and more passes."""


def cost_of(password_hash: str) -> tuple[str, int, int]:
    *costs, salt, derived = password_hash.split("$")
    return "$".join(costs), len(salt), len(derived)


async def test_strangers_cost_what_some_user_costs_each_name_always_the_same(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user with a costlier hash is not told from strangers by the clock, nor are the others."""
    asked: list[str] = []
    monkeypatch.setattr(module, "verify_password", lambda _, password_hash: asked.append(password_hash))
    users = USERS | {"rich": replace(USERS["alice"], name="rich", password_hash=COSTLY)}
    costs = []
    for _ in range(2):  # a restart changes nothing
        logins = gateway.start(users)
        for number in range(300):
            gateway.clock.now += 60
            await refusal_of_login(logins, f"stranger{number}", "guess")
        costs.append([cost_of(password_hash) for password_hash in asked])
        asked.clear()
    assert costs[0] == costs[1]
    assert set(costs[0]) == {cost_of(user.password_hash) for user in users.values()}
    assert 50 < costs[0].count(cost_of(COSTLY)) < 150


async def test_nobody_gets_in_where_there_are_no_users(gateway: Gateway) -> None:
    refused = await refusal_of_login(gateway.start({}), "alice", "alice123")
    assert refused.code == grpc.StatusCode.UNAUTHENTICATED


async def test_an_unknown_user_costs_the_work_of_a_known_one(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def check(_: str, password_hash: str) -> bool:
        checked.append(password_hash)
        return True  # not even a password that fits lets a stranger in

    monkeypatch.setattr(module, "verify_password", check)
    refused = await refusal_of_login(logins, "mallory", "x")
    assert refused.code == grpc.StatusCode.UNAUTHENTICATED
    [decoy] = checked
    assert decoy.rsplit("$", 2)[0] == USERS["alice"].password_hash.rsplit("$", 2)[0]


@pytest.mark.parametrize(
    "user", ["", "Alice", "alice ", "alice@HDFC", "a\0", "' OR 1=1 --", "x" * 33, "x" * 2**20, "аlice"]
)
async def test_what_cannot_be_a_user_is_refused_by_field(logins: Logins, user: str) -> None:
    refused = await refusal_of_login(logins, user, "alice123")
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in refused.violations] == ["user"]


@pytest.mark.parametrize("password", ["", "alice123\0", "x" * 129, "x" * 2**20])
async def test_what_cannot_be_a_password_is_refused_by_field_and_not_repeated(
    logins: Logins, password: str
) -> None:
    refused = await refusal_of_login(logins, "alice", password)
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message == "password: must be 1 to 128 characters, none of them NUL"
    assert [field for field, _ in refused.violations] == ["password"]


async def test_a_password_of_128_characters_is_looked_at(logins: Logins) -> None:
    assert (await refusal_of_login(logins, "alice", "é" * 128)).code == grpc.StatusCode.UNAUTHENTICATED


# -- guessing and flooding ----------------------------------------------------


async def test_a_hundred_wrong_passwords_are_cut_off_and_the_user_elsewhere_gets_in(logins: Logins) -> None:
    refused = await asyncio.gather(*(refusal_of_login(logins, "alice", f"guess-{n}", OTHER) for n in range(100)))
    codes = [refusal.code for refusal in refused]
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) == PAIR.failures_max
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 100 - PAIR.failures_max
    late = await refusal_of_login(logins, "alice", "alice123", OTHER)
    assert late.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert late.retry_after_s is not None
    assert late.retry_after_s > 0
    assert (await logins.log_in("alice", "alice123", SHELL)).user == "alice"


async def test_unknown_users_are_cut_off_as_known_ones_are(logins: Logins) -> None:
    async def codes(user: str, thumbprint: str) -> list[grpc.StatusCode]:
        return [
            (await refusal_of_login(logins, user, "wrong", thumbprint)).code for _ in range(PAIR.failures_max + 2)
        ]

    assert await codes("alice", SHELL) == await codes("mallory", OTHER)


async def test_right_passwords_are_not_throttled(logins: Logins) -> None:
    for _ in range(PAIR.failures_max * 2):
        await logins.log_in("alice", "alice123", SHELL)


async def test_a_flood_of_logins_is_shed_and_two_are_worked_on(logins: Logins, hashing: SlowHashing) -> None:
    flood = [
        asyncio.create_task(logins.log_in(f"user-{number % 7}", "wrong", f"thumbprint-{number}"))
        for number in range(1000)
    ]
    assert await asyncio.to_thread(hashing.entered.acquire, timeout=10)
    hashing.go.set()
    refused = await asyncio.gather(*flood, return_exceptions=True)
    codes = [refusal.code for refusal in refused if isinstance(refusal, RequestRefused)]
    assert codes.count(grpc.StatusCode.UNAUTHENTICATED) == 32
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 968
    assert all(refusal.retry_after_s for refusal in refused[32:] if isinstance(refusal, RequestRefused))
    assert hashing.running_max <= 2


async def test_a_login_that_is_shed_is_not_counted_as_wrong(logins: Logins, hashing: SlowHashing) -> None:
    flood = [asyncio.create_task(logins.log_in(f"user-{n}", "wrong", f"thumbprint-{n}")) for n in range(32)]
    assert await asyncio.to_thread(hashing.entered.acquire, timeout=10)
    for _ in range(PAIR.failures_max * 2):
        assert (await refusal_of_login(logins, "alice", "right")).message == "too many logins at once: try again"
    hashing.go.set()
    await asyncio.gather(*flood, return_exceptions=True)
    assert (await logins.log_in("alice", "right", SHELL)).user == "alice"


async def test_a_caller_who_goes_away_makes_room(logins: Logins, hashing: SlowHashing) -> None:
    flood = [asyncio.create_task(logins.log_in(f"user-{n}", "wrong", f"thumbprint-{n}")) for n in range(32)]
    assert await asyncio.to_thread(hashing.entered.acquire, timeout=10)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    hashing.go.set()
    assert (await logins.log_in("alice", "right", SHELL)).user == "alice"


async def test_the_loop_goes_on_while_a_password_is_checked(logins: Logins, hashing: SlowHashing) -> None:
    login = asyncio.create_task(logins.log_in("alice", "right", SHELL))
    assert await asyncio.to_thread(hashing.entered.acquire, timeout=10)
    assert not login.done()
    hashing.go.set()
    assert (await login).user == "alice"


# -- the end of a login (A17, A21) --------------------------------------------


async def test_a_token_over_another_certificate_is_refused(logins: Logins) -> None:
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    assert "given to another certificate" in refusal_of_token(logins, token, OTHER)


async def test_a_token_is_refused_after_logout_and_after_a_restart(gateway: Gateway, logins: Logins) -> None:
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    other = (await logins.log_in("alice", "alice123", SHELL)).token
    login = logins.authenticate(token, SHELL)
    logins.log_out(login.token_id, login.expires_at)
    for later in (logins, gateway.start()):
        assert refusal_of_token(later, token) == "the token was revoked by a logout: log in again"
        assert later.authenticate(other, SHELL).user == "alice"


async def test_a_logout_that_was_not_recorded_is_not_pretended(gateway: Gateway) -> None:
    class Full(InMemoryRevocations):
        def revoke_token(self, token_id: str, expires_at: float) -> None:
            raise OSError("disk full")

    logins = gateway.start(revocations=Full())
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    login = logins.authenticate(token, SHELL)
    with pytest.raises(OSError, match="disk full"):
        logins.log_out(login.token_id, login.expires_at)
    assert logins.authenticate(token, SHELL) == login


async def test_revoked_tokens_are_forgotten_once_they_have_expired(gateway: Gateway, logins: Logins) -> None:
    logins.log_out("id-1", gateway.clock.now + 10)
    logins.log_out("id-2", gateway.clock.now + 3600)
    gateway.clock.now += 20
    logins.log_out("id-3", gateway.clock.now + 3600)
    assert list(logins._revoked) == ["id-2", "id-3"]


async def test_a_token_ends_an_hour_after_login(gateway: Gateway, logins: Logins) -> None:
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    gateway.clock.now += 3600
    assert refusal_of_token(logins, token) == "the token has expired: log in again"


@pytest.mark.parametrize(
    "changed",
    [
        {"eve": USERS["eve"]},
        USERS | {"alice": replace(USERS["alice"], role=Role.AUDITOR)},
        USERS | {"alice": replace(USERS["alice"], password_hash=hash_password("new"))},
        USERS | {"alice": replace(USERS["alice"], password_hash=hash_password("alice123"))},
    ],
    ids=["user gone", "another role", "new password", "hashed again"],
)
async def test_a_token_ends_when_its_user_changes(gateway: Gateway, changed: Mapping[str, User]) -> None:
    token = (await gateway.start().log_in("alice", "alice123", SHELL)).token
    assert gateway.start().authenticate(token, SHELL).user == "alice"
    assert (
        refusal_of_token(gateway.start(changed), token) == "the user's role or password has changed: log in again"
    )


async def test_a_token_of_a_key_that_was_replaced_is_refused(gateway: Gateway, logins: Logins) -> None:
    tokens = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), "payments.local")
    later = Logins(USERS, tokens, gateway.revocations, clock=gateway.clock)
    gateway.started.append(later)
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    assert refusal_of_token(later, token) == "the token is not valid: log in again"


async def test_the_gateways_store_keeps_revocations(gateway: Gateway, tmp_path: Path) -> None:
    store = GatewayStore.open(tmp_path / "gateway.db")
    logins = gateway.start(revocations=store)
    token = (await logins.log_in("alice", "alice123", SHELL)).token
    login = logins.authenticate(token, SHELL)
    logins.log_out(login.token_id, login.expires_at)
    store.close()
    store = GatewayStore.open(tmp_path / "gateway.db")
    assert "revoked" in refusal_of_token(gateway.start(revocations=store), token)
    store.close()


# -- users that change while the gateway runs -------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"alice": replace(USERS["alice"], role=Role.AUDITOR)},
        {"alice": replace(USERS["alice"], password_hash=hash_password("another1"))},
        {"alice": replace(USERS["alice"], is_disabled=True)},
    ],
    ids=["removed", "another role", "another password", "disabled"],
)
async def test_who_is_changed_has_no_login_any_more(logins: Logins, changed: dict[str, User]) -> None:
    alice = (await logins.log_in("alice", "alice123", SHELL)).token
    eve = (await logins.log_in("eve", "eve123", SHELL)).token
    logins.use_users({"eve": USERS["eve"], **changed})
    with pytest.raises(RequestRefused) as ended:
        logins.authenticate(alice, SHELL)
    assert ended.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert logins.authenticate(eve, SHELL).user == "eve"


async def test_who_is_disabled_is_answered_as_a_stranger(logins: Logins) -> None:
    logins.use_users({"alice": replace(USERS["alice"], is_disabled=True)})
    with pytest.raises(RequestRefused, match="user or password is wrong"):
        await logins.log_in("alice", "alice123", SHELL)


async def test_who_is_changed_while_the_password_is_checked_is_not_logged_in(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowHashing()
    monkeypatch.setattr(module, "verify_password", slow)
    login = asyncio.create_task(logins.log_in("alice", "alice123", SHELL))
    await asyncio.sleep(0)
    logins.use_users({"eve": USERS["eve"]})
    slow.go.set()
    with pytest.raises(RequestRefused, match="user or password is wrong"):
        await login


async def test_a_password_is_checked_at_a_lower_priority_than_payments_are_made(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own_priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen: list[int] = []
    monkeypatch.setattr(module, "verify_password", lambda *_: seen.append(own_priority()) or True)
    await gateway.start().log_in("alice", "alice123", SHELL)
    assert seen == [min(19, own_priority() + 10)]
