"""transactions.json is a view of the decisions: whatever happens to it, the next start makes it whole."""

import json

import pytest

from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.gateway import transactions_file
from nodes.gateway.store import GatewayStore
from nodes.gateway.transactions_file import TransactionsFile


@pytest.fixture
def store(tmp_path):
    store = GatewayStore.open(tmp_path / "gateway.db")
    yield store
    store.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "transactions.json"


def decisions(*sequences):
    return [
        Decision(
            sequence,
            1,
            Payment(bytes([sequence]) * 16, "alice", "HDFC", "bob", "ICICI", 100, "INR", "secret memo"),
            Outcome.DECLINED if sequence % 2 else Outcome.COMMITTED,
            Reason.INSUFFICIENT_FUNDS if sequence % 2 else Reason.NONE,
            1_700_000_000_000_005,
            1_700_000_000_000_006,
        )
        for sequence in sequences
    ]


def opened(path, store, *new):
    file = TransactionsFile(path, store)
    if new:
        store.write(decisions(*new), [], 0)
        file.append(decisions(*new))
    file.close()
    return [json.loads(line)["sequence"] for line in path.read_text().splitlines()]


def test_each_payment_has_a_line_with_parties_amount_outcome_reason_and_times(path, store):
    opened(path, store, 1)
    assert json.loads(path.read_text()) == {
        "sequence": 1,
        "payment_id": "01010101-0101-0101-0101-010101010101",
        "payer": "alice@HDFC",
        "payee": "bob@ICICI",
        "amount_minor": 100,
        "currency": "INR",
        "outcome": "declined",
        "reason": "insufficient_funds",
        "epoch": 1,
        "created_at": "2023-11-14T22:13:20.000005Z",
        "decided_at": "2023-11-14T22:13:20.000006Z",
    }


def test_a_lost_file_is_written_again(path, store):
    opened(path, store, 1, 2, 3)
    path.unlink()
    assert opened(path, store) == [1, 2, 3]


def test_lines_that_were_never_written_are_added(path, store):
    opened(path, store, 1)
    store.write(decisions(2, 3), [], 0)
    assert opened(path, store) == [1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"sequence": 3, "pay', b"\x00\x00\x00", b"{}\n", b"[]\n\n"])
def test_a_torn_end_is_cut_off_and_made_whole(path, store, torn):
    opened(path, store, 1, 2)
    with path.open("ab") as file:
        file.write(torn)
    store.write(decisions(3), [], 0)
    assert opened(path, store) == [1, 2, 3]


def test_a_torn_end_of_a_long_file_takes_nothing_else_with_it(path, store, monkeypatch):
    monkeypatch.setattr(transactions_file, "_TAIL_BYTES", 500)
    opened(path, store, *range(1, 9))
    with path.open("ab") as file:
        file.write(b'{"sequence": 9, "pay')
    assert opened(path, store, 9) == list(range(1, 10))


def test_what_is_missing_is_written_once_however_much_it_is(path, store, monkeypatch):
    monkeypatch.setattr(transactions_file, "_CHUNK_LINES", 2)
    store.write(decisions(1, 2, 3, 4, 5), [], 0)
    assert opened(path, store) == [1, 2, 3, 4, 5]


def test_a_file_of_another_database_is_set_aside(path, store, tmp_path):
    opened(path, store, 1, 2, 3)
    other = GatewayStore.open(tmp_path / "other.db")
    other.write(decisions(1), [], 0)
    assert opened(path, other) == [1]
    other.close()
    [aside] = path.parent.glob("*.set-aside-*")
    assert len(aside.read_text().splitlines()) == 3


def test_a_file_that_holds_nothing_of_ours_is_set_aside(path, store):
    path.parent.mkdir()
    path.write_text("hello\n")
    assert opened(path, store, 1) == [1]
    assert len(list(path.parent.iterdir())) == 2
