"""Two-phase commit over two PostgreSQL servers, as a careful programmer would write it for speed.

Three ways, each with its forced writes:

- `TwoPhase`: both banks PREPARE TRANSACTION side by side; the decision goes into the
  coordinator's log; the caller is answered; both banks COMMIT PREPARED.
- `LastAgent`: the payee's bank prepares; the payer's bank then commits, and with it the
  decision, which is its entry; the caller is answered; the payee's bank COMMIT PREPARED.
- `Batch`: as `TwoPhase`, many payments a transaction, in arrays.

The single statements go in one round trip each. No payment of one lane (a pair of
connections) touches an account of another's, so nobody ever waits for a lock, and the
deadlock across servers that payments in both directions would meet cannot arise: kinder
than life is.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import asyncpg
import uuid_utils

from benchmarks.decision_log import DecisionLog
from benchmarks.servers import ACCOUNTS


class Pair(NamedTuple):
    """A connection to each bank."""

    first: asyncpg.Connection
    second: asyncpg.Connection


class Way(Protocol):
    """How is paid on one lane; ``payments`` are what one `pay` moves."""

    payments: int

    async def pay(self) -> None:
        """Pay; returns when the outcome is durable, which is when the caller is told."""

    async def finish(self) -> None:
        """Tell the banks what is left to tell."""


class Accounts:
    """The accounts of one lane out of so many: every so-manieth."""

    def __init__(self, lane: int, lanes: int) -> None:
        self._own = range(1 + lane, ACCOUNTS + 1, lanes)
        self._lot = random.Random(lane)  # noqa: S311 - a load, not a secret

    def draw(self) -> int:
        """Return one of them."""
        return self._lot.choice(self._own)

    def draw_direction(self, pair: Pair) -> tuple[asyncpg.Connection, asyncpg.Connection]:
        """Return (the payer's bank, the payee's)."""
        return (pair.first, pair.second) if self._lot.random() < 0.5 else (pair.second, pair.first)


class TwoPhase:
    """Both banks prepare, the coordinator decides."""

    payments = 1

    def __init__(self, pair: Pair, accounts: Accounts, log: DecisionLog) -> None:
        self._pair = pair
        self._accounts = accounts
        self._log = log
        self._id = ""

    async def pay(self) -> None:
        """Prepare at both, decide."""
        self._id = str(uuid_utils.uuid7())
        payer, payee = self._accounts.draw(), self._accounts.draw()
        payers_bank, payees_bank = self._accounts.draw_direction(self._pair)
        await asyncio.gather(
            payers_bank.execute(_prepare_one(self._id, payer, payee, -1)),
            payees_bank.execute(_prepare_one(self._id, payee, payer, 1)),
        )
        await self._log.record(self._id)

    async def finish(self) -> None:
        """Commit at both."""
        await asyncio.gather(*(bank.execute(f"COMMIT PREPARED '{self._id}'") for bank in self._pair))


class LastAgent:
    """The payer's bank, asked last, decides by committing."""

    payments = 1

    def __init__(self, pair: Pair, accounts: Accounts, _: DecisionLog) -> None:
        self._pair = pair
        self._accounts = accounts
        self._id = ""
        self._prepared = pair.first

    async def pay(self) -> None:
        """Prepare at the payee's bank, commit at the payer's."""
        self._id = str(uuid_utils.uuid7())
        payer, payee = self._accounts.draw(), self._accounts.draw()
        payers_bank, self._prepared = self._accounts.draw_direction(self._pair)
        await self._prepared.execute(_prepare_one(self._id, payee, payer, 1))
        await payers_bank.fetchval("SELECT post($1, $2, $3, $4)", self._id, payer, payee, -1)

    async def finish(self) -> None:
        """Commit at the payee's bank."""
        await self._prepared.execute(f"COMMIT PREPARED '{self._id}'")


class Batch:
    """Many payments, half of them each way, in one transaction over both banks."""

    def __init__(self, pair: Pair, accounts: Accounts, log: DecisionLog, payments: int) -> None:
        self.payments = payments
        self._pair = pair
        self._accounts = accounts
        self._log = log
        self._id = ""

    async def pay(self) -> None:
        """Prepare at both, decide."""
        self._id = str(uuid_utils.uuid7())
        ids = [uuid_utils.uuid7() for _ in range(self.payments)]
        own = [self._accounts.draw() for _ in ids]
        others = [self._accounts.draw() for _ in ids]
        moved = [1 if number % 2 else -1 for number in range(self.payments)]
        await asyncio.gather(
            _prepare_many(self._pair.first, self._id, (ids, own, others, moved)),
            _prepare_many(self._pair.second, self._id, (ids, others, own, [-amount for amount in moved])),
        )
        await self._log.record(self._id)

    async def finish(self) -> None:
        """Commit at both."""
        await asyncio.gather(*(bank.execute(f"COMMIT PREPARED '{self._id}'") for bank in self._pair))


def _prepare_one(payment_id: str, customer: int, counterparty: int, amount: int) -> str:
    """Write the whole of a bank's part as one message."""
    posting = f"SELECT post('{payment_id}', {customer}, {counterparty}, {amount})"
    return f"BEGIN; {posting}; PREPARE TRANSACTION '{payment_id}'"


async def _prepare_many(bank: asyncpg.Connection, transaction: str, columns: tuple[Sequence[object], ...]) -> None:
    await bank.execute("BEGIN")
    await bank.fetchval("SELECT post_many($1, $2, $3, $4)", *columns)
    await bank.execute(f"PREPARE TRANSACTION '{transaction}'")
