"""A past that was made up: it is in the files as if it had happened, and the audit finds nothing."""

import json
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from nodes.bank.store import BankStore
from nodes.core.audit import audit
from nodes.gateway.store import GatewayStore
from nodes.gateway.transactions_file import TransactionsFile
from nodes.runtime.book_files import open_books

PAYMENTS = 25_000
BANKS = ("HDFC", "ICICI", "SBI")
OPENING = 1_000_000


def preload(folder, *more):
    accounts = {"currency": "INR", "accounts": {"alice": OPENING, "bob": OPENING}}
    words = [f"--gateway={folder / 'gateway.db'}", f"--transactions={folder / 'transactions.json'}"]
    for bank in BANKS:
        (folder / f"{bank}.accounts.json").write_text(json.dumps(accounts))
        words += ["--bank", bank, str(folder / f"{bank}.db"), str(folder / f"{bank}.accounts.json")]
    command = [sys.executable, "-m", "nodes.preload", *words, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    done = preload(folder, "--payees", "50", "--payments", str(PAYMENTS))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_audit_finds_all_of_it_and_nothing_wrong(folder):
    with open_books(folder / "gateway.db", {bank: folder / f"{bank}.db" for bank in BANKS}) as (gateway, banks):
        report = audit(gateway, banks)
    assert report.findings == []
    assert report.decisions == PAYMENTS
    assert report.entries == 2 * PAYMENTS + 2 * len(BANKS)  # and the openings
    assert report.money["INR"].paid_in == report.money["INR"].customers == 2 * len(BANKS) * OPENING


def test_the_nodes_open_it_as_their_own(folder):
    gateway = GatewayStore.open(folder / "gateway.db")
    assert gateway.tally() == (PAYMENTS, 0)
    assert gateway.last_sequence() == PAYMENTS
    assert gateway.begin_epoch() == 2
    decisions = list(gateway.decisions_since(0))
    assert all(early.payment.payment_id < late.payment.payment_id for early, late in pairwise(decisions))
    assert {decision.payment.payment_id[6] >> 4 for decision in decisions} == {7}
    assert {decision.payment.payment_id[8] >> 6 for decision in decisions} == {2}
    assert decisions[-1].decided_at_us < time.time_ns() // 1000
    size = (folder / "transactions.json").stat().st_size
    TransactionsFile(folder / "transactions.json", gateway).close()
    assert (folder / "transactions.json").stat().st_size == size < 1000  # nothing is written again
    gateway.close()
    for bank in BANKS:
        store = BankStore.open(folder / f"{bank}.db", bank)
        assert store.open_accounts({"alice": OPENING, "payee-49": 0}, "INR", 0) == 0
        assert store.count_customers() == 52
        store.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--payments", "1"), "payments need payees"),
        (("--payments", "-1", "--payees", "1"), "numbers of 0 or more"),
        (("--payees", "x"), "invalid int value"),
    ],
)
def test_a_wrong_flag_writes_nothing(tmp_path, more, said):
    done = preload(tmp_path, *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.glob("*.db"))


def test_without_payments_only_accounts_are_opened(tmp_path):
    assert preload(tmp_path, "--payees", "3").returncode == 0
    assert not (tmp_path / "gateway.db").exists()
    store = BankStore.open(tmp_path / "SBI.db", "SBI")
    assert store.count_customers() == 5
    store.close()
