"""The plain stores answer as the real ones do, and refuse what those refuse."""

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.bank import store as bank_store
from nodes.bank.store import BankStore
from nodes.core.ledger import Account, Changes, Entry, Hold
from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.gateway import store as gateway_store
from nodes.gateway.store import GatewayStore
from tests.model.stores import BankDisk, GatewayDisk, PlainBankStore, PlainGatewayStore, Refused

IDS = [bytes([number]) * 16 for number in range(3)]
USERS = ["alice", "bob"]
ACCOUNTS = [*USERS, "@ICICI/INR"]
KEYS = [(payment_id, payer) for payment_id in IDS for payer in USERS]

keys = st.sampled_from(KEYS)
epochs = st.integers(1, 3)
sums = st.integers(-3, 5)
accounts = st.builds(Account, st.sampled_from(ACCOUNTS), st.just("INR"), sums, sums, sums)
holds = st.builds(
    lambda key, epoch, at_us: Hold(*key, epoch, "alice", "@ICICI/INR", 5, "INR", at_us), keys, epochs, st.just(7)
)
entries = st.builds(
    lambda key, epoch, outcome: Entry(*key, epoch, outcome, Reason.NONE, "alice", "bob", 5, "INR", 7),
    keys,
    epochs,
    st.sampled_from([Outcome.COMMITTED, Outcome.DECLINED]),
)
changes = st.builds(
    Changes,
    st.lists(accounts, max_size=2, unique_by=lambda account: account.name),
    st.lists(holds, max_size=2),
    st.lists(keys, max_size=2),
    st.lists(entries, max_size=2),
)
decisions = st.builds(
    lambda key, sequence, outcome: Decision(
        sequence, 1, Payment(*key, "HDFC", "bob", "ICICI", 5, "INR", ""), outcome, Reason.NONE, 1, 2
    ),
    keys,
    st.integers(1, 6),
    st.sampled_from([Outcome.COMMITTED, Outcome.DECLINED]),
)


def connect(schema: str) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(schema)
    return connection


def attempt(connection: apsw.Connection | None, write, *what) -> bool:
    """Write; False if it was refused, and then nothing is written."""
    try:
        write(*what)
    except (apsw.ConstraintError, Refused):
        if connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(changes, max_size=6))
def test_a_plain_bank_store_is_a_bank_store(turns):
    connection = connect(bank_store.SCHEMA)
    real, plain = BankStore(connection), PlainBankStore(BankDisk(()))
    for turn in turns:
        is_written = attempt(connection, real.write, turn, 1)
        assert attempt(None, plain.write, turn, 1) == is_written
        if not is_written:
            return  # the process ends
        assert real.find_entries(KEYS) == plain.find_entries(KEYS)
        assert sorted(real.holds()) == sorted(plain.holds())
        for name in ACCOUNTS:
            assert show(real.find_account(name)) == show(plain.find_account(name))


def show(account: Account | None) -> tuple | None:
    return account and (account.name, account.currency, account.posted, account.held, account.incoming)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(decisions, max_size=2), max_size=5), st.integers(0, 3))
def test_a_plain_gateway_store_is_a_gateway_store(turns, starts):
    connection = connect(gateway_store.SCHEMA)
    real, plain = GatewayStore(connection), PlainGatewayStore(GatewayDisk())
    for _ in range(starts):
        assert real.begin_epoch() == plain.begin_epoch()
    for turn in turns:
        is_written = attempt(connection, real.write, turn, [], 1)
        assert attempt(None, plain.write, turn, [], 1) == is_written
        if not is_written:
            return
        assert real.find_decisions(KEYS) == plain.find_decisions(KEYS)
        assert real.last_sequence() == plain.last_sequence()
