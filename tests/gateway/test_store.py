"""The gateway's state on disk."""

import apsw
import pytest

from nodes.core.messages import Contradiction, Decision, Outcome, Payment, Reason
from nodes.core.rebuilding import Rebuilt
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution
from nodes.gateway import store as gateway_store
from nodes.gateway.store import GatewayStore
from nodes.runtime.database import BooksAltered
from tests.altered_books import alter
from tests.query_plans import find_scans


@pytest.fixture
def store(tmp_path):
    store = GatewayStore.open(tmp_path / "gateway.db")
    yield store
    store.close()


def decision(sequence, outcome=Outcome.COMMITTED, **fields):
    payment = Payment(bytes([sequence]) * 16, "alice", "HDFC", "bob", "ICICI", 100, "INR", "")._replace(**fields)
    reason = Reason.NONE if outcome is Outcome.COMMITTED else Reason.INSUFFICIENT_FUNDS
    return Decision(sequence, 1, payment, outcome, reason, 5, 6)


def test_each_start_has_an_epoch_of_its_own(tmp_path):
    epochs = []
    for _ in range(3):
        store = GatewayStore.open(tmp_path / "gateway.db")
        epochs.append(store.begin_epoch())
        store.close()
    assert epochs == [1, 2, 3]


def test_decisions_survive_a_restart(store, tmp_path):
    decisions = [decision(1), decision(2, Outcome.DECLINED)]
    store.begin_epoch()
    store.write(decisions, [], 0)
    store.close()
    again = GatewayStore.open(tmp_path / "gateway.db")
    assert list(again.decisions_since(0)) == decisions
    assert again.last_sequence() == 2
    assert again.tally() == (1, 1)
    again.close()


def test_a_second_decision_on_a_payment_is_refused_and_nothing_of_its_turn_is_kept(store):
    store.write([decision(1)], [], 0)
    second = decision(2, Outcome.DECLINED, payment_id=bytes([1]) * 16)
    with pytest.raises(apsw.ConstraintError):
        store.write([decision(3), second], [], 0)
    store._execute("ROLLBACK")
    assert store.find_decisions([second.payment.key, decision(3).payment.key]) == {second.payment.key: decision(1)}


@pytest.mark.parametrize("statement", ["UPDATE decision SET outcome = 3", "DELETE FROM decision"])
def test_the_database_itself_refuses_to_change_a_decision(store, statement):
    store.write([decision(1)], [], 0)
    with pytest.raises(apsw.ConstraintError, match="written once"):
        store._execute(statement)


def test_two_users_may_have_the_same_payment_id(store):
    mine, theirs = decision(1), decision(2, payer="carol", payment_id=bytes([1]) * 16)
    store.write([mine, theirs], [], 0)
    assert store.find_decisions([theirs.payment.key]) == {theirs.payment.key: theirs}
    assert store.decisions_of(bytes([1]) * 16) == [mine, theirs]


def test_history_is_newest_first_in_pages_without_gaps_or_repeats(store):
    store.write([decision(n) for n in range(1, 8)], [], 0)
    first = store.history("alice", 2**63 - 1, 3)
    second = store.history("alice", first[-1].sequence, 3)
    assert [d.sequence for d in first + second] == [7, 6, 5, 4, 3, 2]


def test_history_shows_own_declines_and_never_anothers(store):
    store.write([decision(1), decision(2, Outcome.DECLINED)], [], 0)
    assert [d.sequence for d in store.history("alice", 9, 9)] == [2, 1]
    assert [d.sequence for d in store.history("bob", 9, 9)] == [1]
    assert store.history("carol", 9, 9) == []


def test_a_payment_between_own_accounts_is_shown_once(store):
    store.write([decision(1, payee="alice")], [], 0)
    assert len(store.history("alice", 9, 9)) == 1


def test_nothing_that_a_payment_or_its_user_asks_for_walks_through_a_table(store):
    store.write([decision(n) for n in range(1, 8)], [], 0)

    def work():
        store.write([decision(8), decision(9, Outcome.DECLINED)], [Contradiction(b"x" * 16, "a", 1, "b", "c")], 0)
        assert store.find_decisions([decision(n).payment.key for n in range(1, 10)])
        assert store.decisions_of(decision(3).payment.payment_id)
        assert store.history("alice", 2**63 - 1, 3)
        assert store.history("bob", 2**63 - 1, 3)
        assert store.last_sequence() == 9
        GatewayStore(store._connection)

    assert find_scans(store._connection, work) == [
        "UPDATE tally SET committed = committed + ?, declined = declined + ?"
    ]


def test_an_id_above_all_on_record_is_looked_up_when_it_is_on_record(store):
    newest, older, newer = decision(7), decision(3), decision(9)
    store.write([newest, older], [], 0)
    keys = [newest.payment.key, older.payment.key, newer.payment.key]
    assert set(store.find_decisions(keys)) == set(keys[:2])
    assert set(GatewayStore(store._connection).find_decisions(keys)) == set(keys[:2])


def test_revoked_tokens_are_remembered_until_they_expire(store):
    store.revoke_token("a", 100.0)
    store.revoke_token("b", 200.0)
    store.revoke_token("b", 200.0)
    assert store.revoked_tokens(now=150.0) == [("b", 200.0)]


def test_what_operators_resolved_is_kept_and_written_once(store):
    word = Resolution(b"x" * 16, "alice", 9, True, "eve", "restored", 5)
    store.save_resolution(word)
    assert store.resolutions() == [(1, word)]
    assert store.chain.find_breaks(whole=True) == []
    with pytest.raises(apsw.ConstraintError):
        store.save_resolution(word._replace(commit=False))
    for statement in ("UPDATE resolution SET is_commit = 0", "DELETE FROM resolution"):
        with pytest.raises(apsw.ConstraintError, match="written once"):
            store._execute(statement)


RESOLVED = Resolution(b"x" * 16, "alice", 9, True, "eve", "restored", 5)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE resolution SET is_commit = 0", "acts of operators after record 0 are not"),
        ("UPDATE resolution SET why = 'a mistake'", "acts of operators after record 0 are not"),
        ("DELETE FROM resolution", "acts of operators after record 0 are not"),
        ("INSERT INTO resolution VALUES (1, zeroblob(16), 'bob', 9, 0, 'eve', 'x', 5)", "acts of operators"),
        (
            "INSERT INTO resolution VALUES (2, zeroblob(16), 'bob', 9, 0, 'eve', 'x', 5)",
            "1 acts of operators are on record that no link",
        ),
    ],
)
def test_a_resolution_that_was_altered_removed_or_planted_is_not_served(tmp_path, statement, said):
    path = tmp_path / "gateway.db"
    store = GatewayStore.open(path)
    store.save_resolution(RESOLVED)
    store.close()
    alter(path, statement)
    with pytest.raises(BooksAltered, match=said):
        GatewayStore.open(path)


def test_decisions_go_on_in_the_chain_after_a_resolution(tmp_path):
    store = GatewayStore.open(tmp_path / "gateway.db")
    store.begin_epoch()
    store.write([decision(1)], [], 0)
    store.save_resolution(RESOLVED)
    store.write([decision(2)], [], 0)
    store.close()
    store = GatewayStore.open(tmp_path / "gateway.db")
    assert store.chain.head[:2] == (3, 2)
    assert store.chain.find_breaks(whole=True) == []
    store.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_a_recovery_writes_every_decision_and_never_takes_the_epoch_back(store, monkeypatch, count):
    monkeypatch.setattr(gateway_store, "_DECISIONS_AT_ONCE", 2)
    for _ in range(3):
        store.begin_epoch()
    made = [decision(sequence) for sequence in range(1, count + 1)]
    store.recover(Recovery(7, 0, "eve", "disk lost", 5, "[]"), Rebuilt(made, [], 1))
    assert list(store.decisions_since(0)) == made
    assert store.epoch() == 3
    assert store.find_alterations() == []


def test_contradictions_are_kept(store):
    found = Contradiction(b"x" * 16, "alice", 1, "commit", "HDFC: aborted")
    store.write([], [found], 5)
    assert store.contradictions() == [found]


def test_a_contradiction_is_kept_once_whatever_the_gateway_had_on_record_when_it_was_met(store):
    found = Contradiction(b"x" * 16, "alice", 9, "HDFC holds it", "epoch 1")
    for epoch in range(1, 4):
        store.write([], [found._replace(recorded=f"epoch {epoch}")], 5)
    assert store.contradictions() == [found]
    other = found._replace(said="ICICI holds it")
    store.write([], [found, other], 5)
    assert store.contradictions() == [found, other]


def test_a_bank_is_remembered_where_it_said_last(store):
    store.save_bank("HDFC", "localhost:1")
    store.save_bank("HDFC", "localhost:2")
    assert store.banks() == {"HDFC": "localhost:2"}


ALTERATIONS = [
    (
        "a decision",
        "UPDATE decision SET outcome = 2 WHERE sequence = 2",
        "records 1 to 2 are not what was written",
    ),
    (
        "a decision is gone",
        "DELETE FROM decision WHERE sequence = 3",
        "records 3 to 3: 0 are there, 1 were written",
    ),
    (
        "the end is cut off",
        "DELETE FROM decision WHERE sequence = 3; DELETE FROM link WHERE number = 2",
        "3 decisions were counted, the newest has the number 2",
    ),
    ("a count", "UPDATE tally SET declined = 0", "2 decisions were counted, the newest has the number 3"),
    ("the epoch", "UPDATE epoch SET number = 0", "the newest decision is of epoch 1, which has not begun"),
]


@pytest.mark.parametrize(("statement", "found"), [a[1:] for a in ALTERATIONS], ids=[a[0] for a in ALTERATIONS])
def test_a_file_altered_by_hand_is_not_opened(store, tmp_path, statement, found):
    store.begin_epoch()
    store.write([decision(1), decision(2, Outcome.DECLINED)], [], 0)
    store.write([decision(3)], [], 0)
    store.close()
    GatewayStore.open(tmp_path / "gateway.db").close()
    alter(tmp_path / "gateway.db", statement)
    with pytest.raises(BooksAltered) as refused:
        GatewayStore.open(tmp_path / "gateway.db")
    assert found in str(refused.value)
