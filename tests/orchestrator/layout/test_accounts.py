"""users.json handed to the banks: each its own accounts, whole or not at all."""

import json

import pytest

from nodes.runtime.passwords import hash_password
from orchestrator.layout import accounts, files
from orchestrator.layout.accounts import AccountsMistaken, ensure_accounts
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder

HASH = hash_password("secret")


@pytest.fixture
def folder(tmp_path):
    banks = "banks:\n  HDFC: {address: localhost:1001}\n  SBI: {address: localhost:1002}\n"
    (tmp_path / "cluster.yaml").write_text(banks)
    return ClusterFolder(tmp_path)


def ensure(folder, *opened):
    users = [
        {"name": name, "role": "customer", "password_hash": HASH, "accounts": balances}
        for name, balances in opened
    ]
    (folder.root / "users.json").write_text(json.dumps({"users": users}))
    ensure_accounts(load(folder.config), folder)


def opened(folder, bank):
    return json.loads(folder.accounts(bank).read_text())


def test_each_bank_is_told_of_its_own_accounts_in_minor_units(folder):
    ensure(folder, ("alice", {"HDFC": "5,000.00", "SBI": "1"}), ("bob", {"HDFC": "0.05"}))
    assert opened(folder, "HDFC") == {"currency": "INR", "accounts": {"alice": 500_000, "bob": 5}}
    assert opened(folder, "SBI") == {"currency": "INR", "accounts": {"alice": 100}}


def test_no_bank_is_told_of_a_password_or_can_be_read_by_others(folder):
    ensure(folder, ("alice", {"HDFC": "1"}))
    assert "argon2" not in folder.accounts("HDFC").read_text()
    assert folder.accounts("HDFC").stat().st_mode & 0o077 == 0


def test_an_account_at_no_bank_of_the_cluster_is_a_mistake_and_nothing_is_written(folder):
    with pytest.raises(AccountsMistaken) as caught:
        ensure(folder, ("alice", {"HDFC": "1", "ICICI": "1"}), ("bob", {"AXIS": "1"}))
    [first, second] = str(caught.value).splitlines()
    assert first.startswith("users.json: alice has an account at ICICI")
    assert second.startswith("users.json: bob has an account at AXIS")
    assert not folder.state.exists()


def test_every_mistake_is_named_with_its_line(folder):
    with pytest.raises(AccountsMistaken) as caught:
        ensure(folder, ("Alice", {"HDFC": "1"}), ("bob", {"HDFC": 1}))
    assert [line[:13] for line in str(caught.value).splitlines()] == ["users.json:1:"] * 2


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"\xff", "is not UTF-8 text")])
def test_a_file_that_cannot_be_read_is_named(folder, content, said):
    if content is not None:
        (folder.root / "users.json").write_bytes(content)
    with pytest.raises(AccountsMistaken, match=rf"users\.json: .*{said}"):
        ensure_accounts(load(folder.config), folder)


def test_what_is_right_already_is_not_written_again(folder, monkeypatch):
    ensure(folder, ("alice", {"HDFC": "1"}))
    written = []
    monkeypatch.setattr(accounts, "write_whole", lambda path, _: written.append(path.name))
    ensure(folder, ("alice", {"HDFC": "2"}))
    assert written == ["HDFC.accounts.json"]


def test_a_crash_while_writing_leaves_the_old_file(folder, monkeypatch):
    ensure(folder, ("alice", {"HDFC": "1"}))

    def crash(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        ensure(folder, ("alice", {"HDFC": "2"}))
    assert opened(folder, "HDFC")["accounts"] == {"alice": 100}
    assert files.find_half_written(folder.state) == []
