"""Give a cluster that has not started yet a past: ``python -m nodes.preload --help``.

For measuring what a long history costs. Everything goes through the stores that the
gateway and the banks write with, so what lies in the files afterwards is what they
would have written: decisions in order, each committed payment in the journals of both
banks, balances that fold from them, and the chains of hashes. An audit finds it clean.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nodes.bank.accounts import AccountsUnusable, OpeningAccounts, load_accounts
from nodes.bank.store import BankStore
from nodes.core.ledger import Account, Changes, Entry, clearing_account
from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.gateway.store import GatewayStore
from nodes.gateway.transactions_file import TransactionsFile
from nodes.runtime.database import DatabaseUnusable
from nodes.runtime.lifeline import end_with_parent, parse_descriptor

_BATCH = 10_000
_APART_US = 100
_VERSION_7_MS_BITS = 16


class Past(NamedTuple):
    """Payments to write: so many, the last of them at ``ends_us``, between these users' accounts."""

    payments: int
    ends_us: int
    payers: Sequence[str]
    payees: Sequence[str]
    banks: Sequence[str]
    currency: str


class Books:
    """One bank's books, written in batches."""

    def __init__(self, name: str, store: BankStore, currency: str) -> None:
        self.name = name
        self.store = store
        self._currency = currency
        self._accounts: dict[str, Account] = {}
        self._changed: dict[str, Account] = {}
        self._entries: list[Entry] = []

    def post(self, payment: Payment, epoch: int, at_us: int) -> None:
        """Move this bank's part of a payment."""
        if payment.payer_bank == self.name:
            sides = payment.payer, clearing_account(payment.payee_bank, self._currency)
        else:
            sides = clearing_account(payment.payer_bank, self._currency), payment.payee
        debit, credit = map(self._change, sides)
        debit.posted -= payment.amount_minor
        credit.posted += payment.amount_minor
        self._entries.append(
            Entry(
                payment.payment_id,
                payment.payer,
                epoch,
                Outcome.COMMITTED,
                Reason.NONE,
                debit.name,
                credit.name,
                payment.amount_minor,
                payment.currency,
                at_us,
            )
        )

    def write(self, now_us: int) -> None:
        """Make durable what was posted."""
        self.store.write(Changes(list(self._changed.values()), [], [], self._entries), now_us)
        self._changed, self._entries = {}, []

    def _change(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            account = self.store.find_account(name) or Account(name, self._currency)
            self._accounts[name] = account
        self._changed[name] = account
        return account


def imagine(past: Past) -> Iterator[tuple[Payment, int]]:
    """Yield (payment, its time in microseconds), oldest first: one unit each, between banks and users by lot."""
    lot = random.Random(0)  # noqa: S311 - a made-up past, not a secret
    for number in range(past.payments):
        at_us = past.ends_us - (past.payments - number) * _APART_US
        payer_bank, payee_bank = lot.sample(past.banks, 2)
        payer, payee = lot.choice(past.payers), lot.choice(past.payees)
        yield Payment(_name(number, at_us), payer, payer_bank, payee, payee_bank, 1, past.currency, ""), at_us


def _name(number: int, at_us: int) -> bytes:
    """Return an id as a client of that time would have made it (RFC 9562, version 7)."""
    head = (at_us // 1000) << _VERSION_7_MS_BITS | 0x7000
    return (head << 64 | 0x8 << 60 | number).to_bytes(16)


def write_past(gateway: GatewayStore, transactions: Path, banks: Sequence[Books], past: Past) -> None:
    """Write all of it. The file of transactions begins with the last one: as if the rest had been moved away."""
    lines = TransactionsFile(transactions, gateway)
    epoch, by_name = gateway.begin_epoch(), {bank.name: bank for bank in banks}
    payments, sequence = imagine(past), 0
    decisions: list[Decision] = []
    while batch := list(islice(payments, _BATCH)):
        decisions = [
            Decision(sequence + number, epoch, payment, Outcome.COMMITTED, Reason.NONE, at_us, at_us)
            for number, (payment, at_us) in enumerate(batch, 1)
        ]
        sequence += len(batch)
        gateway.write(decisions, [], past.ends_us)
        for payment, at_us in batch:
            by_name[payment.payer_bank].post(payment, epoch, at_us)
            by_name[payment.payee_bank].post(payment, epoch, at_us)
        for bank in banks:
            bank.write(past.ends_us)
    lines.append(decisions[-1:])
    lines.close()


def main() -> int:
    """Write a past; return the exit code."""
    flags = _parse_flags()
    end_with_parent(flags.lifeline_fd)
    now_us = time.time_ns() // 1000
    try:
        opening = [load_accounts(Path(accounts)) for _, _, accounts in flags.bank]
        banks = [
            _open(bank, accounts, flags.payees, now_us) for bank, accounts in zip(flags.bank, opening, strict=True)
        ]
        if flags.payments:
            names = [bank.name for bank in banks]
            past = Past(
                flags.payments,
                now_us,
                list(opening[0].opening_minor),
                _name_payees(flags.payees),
                names,
                opening[0].currency,
            )
            gateway = GatewayStore.open(flags.gateway)
            write_past(gateway, flags.transactions, banks, past)
            gateway.close()
    except (AccountsUnusable, DatabaseUnusable) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for bank in banks:
        bank.store.close()
    return 0


def _open(bank: Sequence[str], accounts: OpeningAccounts, payees: int, now_us: int) -> Books:
    name, database, _ = bank
    store = BankStore.open(Path(database), name)
    store.open_accounts(accounts.opening_minor, accounts.currency, now_us)
    store.open_accounts(dict.fromkeys(_name_payees(payees), 0), accounts.currency, now_us)
    return Books(name, store, accounts.currency)


def _name_payees(count: int) -> list[str]:
    return [f"payee-{number}" for number in range(count)]


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nodes.preload",
        description="Write a past into the databases of a cluster that has not started yet.",
        epilog="Users of the accounts files are the payers of the past; each bank's file must open the same ones.",
    )
    parser.add_argument("--gateway", type=Path, required=True, help="the gateway's database, made here")
    parser.add_argument(
        "--transactions", type=Path, required=True, help="the gateway's file of one line a payment"
    )
    parser.add_argument(
        "--bank", nargs=3, action="append", required=True, metavar=("NAME", "DATABASE", "ACCOUNTS"),
        help="a bank, its database, made here, and the accounts file that it will start with",
    )  # fmt: skip
    parser.add_argument("--payees", type=int, default=0, help="also open empty accounts payee-0, payee-1, ... (0)")
    parser.add_argument("--payments", type=int, default=0, help="how many payments, from payers to payees (0)")
    parser.add_argument(
        "--lifeline-fd", type=parse_descriptor, help="descriptor of a pipe; this program ends when it ends"
    )
    flags = parser.parse_args()
    if len(flags.bank) < 2:
        parser.error("--bank: payments need two banks")
    if flags.payments < 0 or flags.payees < 0 or (flags.payments and not flags.payees):
        parser.error("--payments and --payees: numbers of 0 or more; payments need payees")
    return flags


if __name__ == "__main__":
    sys.exit(main())
