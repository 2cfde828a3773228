"""A bank's books on disk: what was written is there after a restart, and what may not be is refused."""

import apsw
import pytest

from nodes.bank import store as bank_store
from nodes.bank.store import BankStore
from nodes.core.ledger import Account, Changes, Entry, Hold
from nodes.core.messages import Outcome, Reason
from nodes.runtime.database import BooksAltered, DatabaseUnusable
from tests.altered_books import alter
from tests.query_plans import find_scans

ID = bytes(range(16))
HOLD = Hold(ID, "alice", 3, "alice", "@ICICI/INR", 400, "INR", 7)
PAID = Entry(ID, "alice", 3, Outcome.COMMITTED, Reason.NONE, "alice", "@ICICI/INR", 400, "INR", 9)
REFUSED = Entry(ID, "alice", 2, Outcome.DECLINED, Reason.INSUFFICIENT_FUNDS, "", "", 0, "", 8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "HDFC.db"


@pytest.fixture
def store(path):
    store = BankStore.open(path, "HDFC")
    store.open_accounts({"alice": 1000, "bob": 0}, "INR", now_us=1)
    yield store
    store.close()


def write(store, *, accounts=(), holds=(), released=(), entries=()):
    store.write(Changes(list(accounts), list(holds), list(released), list(entries)), now_us=7)


def reopened(store, path):
    store.close()
    return BankStore.open(path, "HDFC")


def test_holds_balances_and_entries_survive_a_restart(store, path):
    write(
        store, holds=[HOLD], accounts=[Account("alice", "INR", 1000, 400), Account("@ICICI/INR", "INR", 0, 0, 400)]
    )
    write(store, entries=[REFUSED])
    again = reopened(store, path)
    assert again.holds() == [HOLD]
    assert again.find_account("alice").held == 400
    assert again.find_entries([(ID, "alice"), (ID, "bob")]) == {(ID, "alice"): REFUSED}
    assert again.find_faults() == []
    again.close()


def test_the_newest_epochs_entry_is_the_one_that_counts(store):
    write(store, entries=[PAID._replace(epoch=5), REFUSED])
    assert store.find_entries([(ID, "alice")])[ID, "alice"].epoch == 5
    assert [entry.epoch for entry in store.entries_of(ID)] == [2, 5]


def test_nothing_that_a_turn_asks_for_walks_through_a_table(store):
    write(store, holds=[HOLD], entries=[REFUSED])

    def work():
        write(
            store,
            released=[HOLD.key],
            holds=[HOLD._replace(payer="bob")],
            entries=[PAID],
            accounts=[Account("alice", "INR", 600), Account("@ICICI/INR", "INR", 400)],
        )
        assert store.find_entries([(ID, "alice"), (bytes(16), "bob")])
        assert store.entries_of(ID)
        assert store.find_account("alice")
        BankStore(store._connection)

    at_start = ["SELECT name FROM bank", "SELECT payment_id, payer, number FROM hold"]
    assert find_scans(store._connection, work) == at_start


def test_an_account_keeps_its_balance_when_it_is_opened_again(store):
    write(store, accounts=[Account("alice", "INR", 600), Account("@ICICI/INR", "INR", 400)], entries=[PAID])
    assert store.open_accounts({"alice": 1000, "carol": 50}, "INR", now_us=2) == 1
    assert store.find_account("alice").posted == 600
    assert store.find_faults() == []


def test_opening_balances_are_paid_in_from_outside_so_that_the_books_sum_to_zero(store):
    sums = store.sum_accounts()["INR"]
    assert (sums.customers, sums.paid_in, sums.due_to) == (1000, 1000, {})


def test_the_database_itself_refuses_an_overdraft(store):
    with pytest.raises(apsw.ConstraintError):
        write(store, accounts=[Account("alice", "INR", 1000, 1001)])


@pytest.mark.parametrize("statement", ["UPDATE journal SET amount_minor = 1", "DELETE FROM journal"])
def test_the_database_itself_refuses_to_change_the_journal(store, statement):
    with pytest.raises(apsw.ConstraintError, match="written once"):
        store._execute(statement)


def test_one_transaction_ends_once(store):
    write(store, entries=[REFUSED])
    with pytest.raises(apsw.ConstraintError):
        write(store, entries=[REFUSED._replace(outcome=Outcome.COMMITTED, amount_minor=5)])


def test_a_second_opener_is_refused_while_the_first_lives(store, path):
    with pytest.raises(DatabaseUnusable, match="in use by another process"):
        BankStore.open(path, "HDFC")


def test_another_banks_books_are_not_opened(store, path):
    store.close()
    with pytest.raises(DatabaseUnusable, match="keeps the books of HDFC, not of ICICI"):
        BankStore.open(path, "ICICI")


def test_a_file_that_is_no_database_is_named(path):
    path.write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(DatabaseUnusable, match=r"HDFC\.db is not a database"):
        BankStore.open(path, "HDFC")


def test_books_edited_by_hand_are_found(store):
    store._execute("UPDATE account SET posted = posted + 5 WHERE name = 'bob'")
    account, books = store.find_faults()
    assert account.startswith("account bob has posted, held, incoming 5, 0, 0")
    assert books == "the accounts in INR sum to 5, not to 0"


def test_a_hold_that_lost_its_account_is_found(store):
    write(store, holds=[HOLD])
    faults = store.find_faults()
    assert any(fault.startswith("account alice has") for fault in faults)
    assert "account @ICICI/INR is gone; journal or holds name it" in faults


NOT_AT_START = ""
ALTERATIONS = [
    ("a balance", "UPDATE account SET posted = posted + 5 WHERE name = 'bob'", "account bob has posted", "accounts in INR sum to 5"),
    ("balances, in secret", "UPDATE account SET posted = posted + iif(name = 'bob', 5, -5) WHERE name IN ('alice', 'bob')", "account alice has", NOT_AT_START),
    ("a hold is planted", "INSERT INTO hold VALUES (NULL, zeroblob(16), 'bob', 3, 'bob', '@ICICI/INR', 5, 'INR', 7)", "account @ICICI/INR has", "account @ICICI/INR has"),
    ("held money is let go", "UPDATE account SET held = 0, incoming = 0", "account @ICICI/INR has", "account @ICICI/INR has"),
    ("an entry is altered", "UPDATE journal SET amount_minor = 500 WHERE sequence = 3", "records 3 to 3 are not", "records 3 to 3 are not"),
    ("an entry is gone", "DELETE FROM journal WHERE sequence = 3", "records 3 to 3: 0 are there", "records 3 to 3: 0 are there"),
    ("an entry is planted", "INSERT INTO journal VALUES (9, zeroblob(16), 'bob', 3, 3, 0, '', '', 0, '', 7)", "records 4 to 9 were never", "records 4 to 9 were never"),
    ("a link is gone", "DELETE FROM link WHERE number = 1", "links 1 to 1 of the chain are gone", "links 1 to 1 of the chain are gone"),
    ("the end is cut off", "DELETE FROM journal WHERE sequence = 3; DELETE FROM link WHERE number = 2", "account @HDFC/INR has", NOT_AT_START),
]  # fmt: skip
"""What is done to a file, and what is said of it at the start: with a journal that is folded then, and with a longer one.

The journal is two openings in one link, then a payment in a link of its own; another payment is held.
"""


@pytest.fixture
def kept_path(tmp_path):
    path = tmp_path / "ICICI.db"
    store = BankStore.open(path, "ICICI")
    store.open_accounts({"alice": 1000, "bob": 50}, "INR", now_us=1)
    accounts = [
        Account("alice", "INR", 600, 100),
        Account("@HDFC/INR", "INR", 400),
        Account("@ICICI/INR", "INR", 0, 0, 100),
    ]
    paid = PAID._replace(credit_account="@HDFC/INR")
    write(store, accounts=accounts, entries=[paid], holds=[HOLD._replace(amount_minor=100, payment_id=b"h" * 16)])
    store.close()
    BankStore.open(path, "ICICI").close()
    return path


@pytest.mark.parametrize("is_long", [False, True], ids=["short journal", "long journal"])
@pytest.mark.parametrize("case", ALTERATIONS, ids=lambda case: case[0])
def test_a_file_altered_by_hand_is_not_opened(kept_path, monkeypatch, case, is_long):
    _, statement, found, found_when_long = case
    found = found_when_long if is_long else found
    monkeypatch.setattr(bank_store, "_FOLDED_AT_START", 0 if is_long else 100)
    alter(kept_path, statement)
    if found == NOT_AT_START:
        BankStore.open(kept_path, "ICICI").close()
        return
    with pytest.raises(BooksAltered, match="which refuses to serve it") as refused:
        BankStore.open(kept_path, "ICICI")
    assert found in str(refused.value)


def test_books_of_an_older_release_are_refused_by_their_version(store, path):
    store._execute("PRAGMA user_version = 1")
    store.close()
    with pytest.raises(
        DatabaseUnusable, match="has schema version 1, this program needs 3; use the matching release"
    ):
        BankStore.open(path, "HDFC")


HOLDS = [HOLD._replace(payment_id=bytes([number] * 16), at_us=number, amount_minor=10) for number in range(40)]


@pytest.mark.parametrize("gone", [range(40), range(3, 17), range(0, 40, 2), [39, 0, 20, 21, 5]])
def test_what_is_released_goes_and_nothing_beside_it(store, path, gone):
    write(store, holds=HOLDS[:25])
    write(store, holds=HOLDS[25:])
    write(store, released=[HOLDS[number].key for number in gone])
    left = [hold for number, hold in enumerate(HOLDS) if number not in gone]
    assert store.holds() == left
    held = 10 * len(left)
    accounts = [Account("alice", "INR", 1000, held), Account("@ICICI/INR", "INR", 0, 0, held)]
    write(store, accounts=[Account("bob", "INR", 0), *accounts])
    again = reopened(store, path)
    write(again, holds=[HOLD], released=[hold.key for hold in left])
    assert again.holds() == [HOLD]
    again.close()


@pytest.mark.parametrize("again", [[HOLDS[0]], [HOLDS[1], HOLDS[1]]])
def test_a_payment_has_one_hold(store, again):
    write(store, holds=HOLDS[:1])
    with pytest.raises(apsw.ConstraintError, match="a payment has one hold"):
        write(store, holds=again)


OF_BEFORE = """
ALTER TABLE hold RENAME TO hold_3;
CREATE TABLE hold (
    payment_id BLOB NOT NULL CHECK (length(payment_id) = 16),
    payer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (payment_id, payer)
) STRICT, WITHOUT ROWID;
INSERT INTO hold
 SELECT payment_id, payer, epoch, debit_account, credit_account, amount_minor, currency, at_us FROM hold_3;
DROP TABLE hold_3;
PRAGMA user_version = 2;
"""


def test_holds_in_books_of_the_release_before_are_kept_and_can_be_released(store, path):
    accounts = [Account("alice", "INR", 1000, 800), Account("@ICICI/INR", "INR", 0, 0, 800)]
    older, newer = HOLD._replace(payer="bob", debit_account="alice", at_us=3), HOLD
    write(store, holds=[older, newer], accounts=accounts)
    store._execute(OF_BEFORE)
    store = reopened(store, path)
    assert store.holds() == [older, newer]
    write(
        store,
        released=[older.key],
        accounts=[Account("alice", "INR", 1000, 400), Account("@ICICI/INR", "INR", 0, 0, 400)],
    )
    store = reopened(store, path)
    assert store.holds() == [newer]
    store.close()
