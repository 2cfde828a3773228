"""A bank's turn: what order things are carried out in, and what a torn message comes to."""

import apsw
import pytest
from interbank.v1 import bank_pb2 as pb

from nodes.bank.conversions import read_decides, read_prepares, write_votes
from nodes.bank.store import SCHEMA, BankStore
from nodes.bank.turn import Received, take_turn
from nodes.core.authority import Authority, Grant, fingerprint
from nodes.core.ledger import Ledger
from nodes.core.messages import Decide, Prepare, Reason, Vote, VoteKind
from nodes.core.participant import Participant
from nodes.gateway.conversions import read_votes, write_decides, write_prepares

FIRST, SECOND = bytes([1]) * 16, bytes([2]) * 16


@pytest.fixture
def bank():
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    store = BankStore(connection)
    store.open_accounts({"alice": 100, "bob": 0}, "INR", now_us=0)
    participant = Participant("HDFC", Ledger(store.find_account))

    def turn(prepares, decides=()):
        [said] = take_turn(participant, store, [Received(prepares, list(decides), "stream", 1)], now_us=5)
        return [(vote.payment_id, vote.kind, vote.reason) for vote in said.votes]

    return turn


def test_what_a_payment_brings_can_be_spent_by_the_next_in_the_same_message(bank):
    paid = Prepare(FIRST, "alice", 1, "HDFC", "bob", "HDFC", 100, "INR")
    assert bank([paid]) == [(FIRST, VoteKind.YES, Reason.NONE)]
    spent = Prepare(SECOND, "bob", 1, "HDFC", "carol", "ICICI", 100, "INR")
    assert bank([spent], [Decide(FIRST, "alice", 1, commit=True)]) == [(SECOND, VoteKind.YES, Reason.NONE)]


PREPARES = [
    Prepare(FIRST, "alice", 3, "HDFC", "bob", "ICICI", 100, "INR"),
    Prepare(SECOND, "bob", 3, "ICICI", "alice", "HDFC", 2**63 - 1, "JPY"),
]
DECIDES = [Decide(FIRST, "alice", 2, commit=True), Decide(SECOND, "bob", 3, commit=False)]
VOTES = [Vote(FIRST, "alice", 3, VoteKind.YES, Reason.NONE), Vote(SECOND, "bob", 3, VoteKind.NO, Reason(1))]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_goes_out_in_columns_comes_in_as_it_was(count):
    request = pb.TransactRequest(epoch=3, prepares=write_prepares(PREPARES[:count]))
    wanted = [prepare._replace(is_rightful=False) for prepare in PREPARES[:count]]
    assert read_prepares(request, lambda _: None) == wanted
    assert read_decides(write_decides(DECIDES[:count])) == DECIDES[:count]
    assert read_votes(write_votes(VOTES[:count])) == VOTES[:count]


def test_torn_columns_are_not_read():
    request = pb.TransactRequest(epoch=3, prepares=write_prepares(PREPARES))
    request.prepares.payers.append("carol")
    with pytest.raises(ValueError, match="longer than"):
        read_prepares(request, lambda _: None)


def test_each_login_goes_once_and_each_payment_names_its_own():
    logins = "login of alice", "login of bob"
    prepares = [
        Prepare(bytes([number]) * 16, user, 3, "HDFC", "carol", "ICICI", 5, "INR")
        for number, user in enumerate(("alice", "bob", "alice", "eve"))
    ]
    sent = [
        prepare._replace(authority=Authority(login, fingerprint((*prepare[:2], *prepare[3:8])), 50))
        for prepare, login in zip(prepares, (*logins, logins[0], logins[1]), strict=True)
    ]
    request = pb.TransactRequest(epoch=3, prepares=write_prepares(sent))
    assert tuple(request.prepares.logins) == logins
    read = read_prepares(request, lambda login: Grant(login.removeprefix("login of "), 0, 100))
    assert [prepare.is_rightful for prepare in read] == [True, True, True, False]
    request.prepares.login_numbers[0] = 2
    with pytest.raises(ValueError, match="names a login that is not in the message"):
        read_prepares(request, lambda _: None)


def test_what_nobody_ordered_is_refused_for_good_whatever_else_is_wrong_with_it(bank):
    wrong = Prepare(FIRST, "alice", 1, "HDFC", "bob", "HDFC", 1, "INR", is_rightful=False)
    for asked in (wrong, wrong._replace(is_rightful=True)):
        assert bank([asked]) == [(FIRST, VoteKind.NO, Reason.NOT_AUTHORIZED)]
    poor = wrong._replace(payment_id=SECOND, amount_minor=10**9)
    assert bank([poor]) == [(SECOND, VoteKind.NO, Reason.NOT_AUTHORIZED)]
    assert bank([wrong._replace(epoch=2, is_rightful=True)]) == [(FIRST, VoteKind.YES, Reason.NONE)]
    votes = write_votes(VOTES)
    del votes.kinds[1:]
    with pytest.raises(ConnectionError, match="votes are torn"):
        read_votes(votes)


def test_a_vote_of_a_kind_that_is_unknown_here_is_a_no():
    votes = pb.Votes(payment_ids=[FIRST], payers=["alice"], epochs=[1], kinds=[99], reasons=[99])
    assert read_votes(votes) == [Vote(FIRST, "alice", 1, VoteKind.NO, Reason.ABORTED_BY_BANK)]


def test_a_cut_shows_what_was_carried_out_until_then_and_nothing_of_what_came_after():
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    store = BankStore(connection)
    store.open_accounts({"alice": 100}, "INR", now_us=0)
    participant = Participant("HDFC", Ledger(store.find_account))
    prepares = [Prepare(each, "alice", 1, "HDFC", "bob", "ICICI", 30, "INR") for each in (FIRST, SECOND)]
    take_turn(participant, store, [Received(prepares, [], "stream", 1)], now_us=5)
    events = [
        Received([], [Decide(FIRST, "alice", 1, commit=True)], "stream", 2),
        Received([], [], "stream", 3, cut=7, keeps_books=True),
        Received([], [Decide(SECOND, "alice", 1, commit=True)], "stream", 4),
    ]
    before, at, after = take_turn(participant, store, events, now_us=6)
    assert before.cut is None
    assert after.cut is None
    assert at.cut is not None
    assert (at.number, at.cut.number, at.cut.in_doubt) == (3, 7, 1)
    assert at.cut.clearing["INR"] == (100, {"ICICI": 30})
    assert {account.name: account.posted for account in at.cut.accounts or ()}["alice"] == 70
    assert [hold.payment_id for hold in at.cut.holds] == [SECOND]
    assert at.cut.head.last_sequence == 2
    assert store.chain.head.last_sequence == 3
    assert store.find_alterations() == []
