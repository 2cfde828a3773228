"""The participant's table, row by row, and what holds must keep."""

import pytest

from nodes.core.ledger import BALANCE_MAX, Account, Ledger
from nodes.core.messages import Contradiction, Decide, Outcome, Prepare, Reason, Vote, VoteKind
from nodes.core.participant import Participant

ID = bytes(range(16))
ALICE_MINOR = 1000


class Bank:
    """HDFC with alice (1,000 paise) and bob (0), each turn ended as the shell would."""

    def __init__(self) -> None:
        self.disk = {"alice": Account("alice", "INR", ALICE_MINOR), "bob": Account("bob", "INR")}
        self.ledger = Ledger(self.disk.get)
        self.participant = Participant("HDFC", self.ledger)
        self.journal: list = []

    def turn(self, *messages):
        recorded = {(entry.payment_id, entry.payer): entry for entry in self.journal}
        self.participant.start_turn(recorded, now_us=7)
        said = [
            self.participant.prepare(m) if isinstance(m, Prepare) else self.participant.decide(m) for m in messages
        ]
        self.journal += self.ledger.take_changes().entries
        return said[0] if len(said) == 1 else said

    def sums(self, name: str) -> tuple[int, int, int]:
        account = self.ledger.account(name)
        return (account.posted, account.held, account.incoming) if account else (0, 0, 0)

    def outcomes(self) -> list[tuple[int, Outcome]]:
        return [(entry.epoch, entry.outcome) for entry in self.journal]


def prepare(epoch: int = 1, amount_minor: int = 100, **fields) -> Prepare:
    asked = Prepare(ID, "alice", epoch, "HDFC", "bob", "ICICI", amount_minor, "INR")
    return asked._replace(**fields)


def commit(epoch: int = 1) -> Decide:
    return Decide(ID, "alice", epoch, commit=True)


def abort(epoch: int = 1) -> Decide:
    return Decide(ID, "alice", epoch, commit=False)


def vote(kind: VoteKind, epoch: int = 1, reason: Reason = Reason.NONE) -> Vote:
    return Vote(ID, "alice", epoch, kind, reason)


def contradicts(said: str, recorded: str, epoch: int = 1) -> Contradiction:
    return Contradiction(ID, "alice", epoch, said, recorded)


COMMITTED, DECLINED = Outcome.COMMITTED, Outcome.DECLINED
YES, NO, WAS_COMMITTED, WAS_ABORTED = VoteKind.YES, VoteKind.NO, VoteKind.COMMITTED, VoteKind.ABORTED
BROKE = Reason.INSUFFICIENT_FUNDS

DONE_1, DONE_2 = "committed in epoch 1", "committed in epoch 2"
PAID_1, PAID_2 = [prepare(), commit()], [prepare(2), commit(2)]

# known, told before, message, answer, journal, held
ROWS = [
    ("nothing", [], prepare(), vote(YES), [], 100),
    ("nothing, no funds", [], prepare(amount_minor=1001), vote(NO, 1, BROKE), [(1, DECLINED)], 0),
    ("nothing", [], abort(), None, [(1, DECLINED)], 0),
    ("nothing", [], commit(), contradicts("commit", "nothing"), [], 0),
    ("held, m = e", [prepare()], prepare(), vote(YES), [], 100),
    ("held, m = e", [prepare()], commit(), None, [(1, COMMITTED)], 0),
    ("held, m = e", [prepare()], abort(), None, [(1, DECLINED)], 0),
    ("held, m > e", [prepare()], prepare(2), vote(YES, 2), [], 100),
    ("held, m > e, no funds", [prepare()], prepare(2, 1001), vote(NO, 2, BROKE), [(2, DECLINED)], 0),
    ("held, m > e", [prepare()], abort(2), None, [(2, DECLINED)], 0),
    ("held, m > e", [prepare()], commit(2), contradicts("commit", "held by epoch 1", 2), [], 100),
    ("held, m < e", [prepare(2)], prepare(1), None, [], 100),
    ("held, m < e", [prepare(2)], abort(1), None, [], 100),
    ("held, m < e", [prepare(2)], commit(1), contradicts("commit", "held by epoch 2"), [], 100),
    ("aborted, m = e", [abort()], prepare(), vote(WAS_ABORTED), [(1, DECLINED)], 0),
    ("refused, m = e", [prepare(1, 1001)], prepare(1, 1001), vote(NO, 1, BROKE), [(1, DECLINED)], 0),
    ("aborted, m = e", [abort()], abort(), None, [(1, DECLINED)], 0),
    ("aborted, m = e", [abort()], commit(), contradicts("commit", "aborted in epoch 1"), [(1, DECLINED)], 0),
    ("aborted, m > e", [abort()], prepare(2), vote(YES, 2), [(1, DECLINED)], 100),
    ("aborted, m > e", [abort()], abort(2), None, [(1, DECLINED), (2, DECLINED)], 0),
    ("aborted, m > e", [abort()], commit(2), contradicts("commit", "aborted in epoch 1", 2), [(1, DECLINED)], 0),
    ("aborted, m < e", [abort(2)], prepare(1), vote(WAS_ABORTED), [(2, DECLINED)], 0),
    ("aborted, m < e", [abort(2)], abort(1), None, [(2, DECLINED)], 0),
    ("aborted, m < e", [abort(2)], commit(1), contradicts("commit", "aborted in epoch 2"), [(2, DECLINED)], 0),
    ("committed, m = e", PAID_1, prepare(), vote(WAS_COMMITTED), [(1, COMMITTED)], 0),
    ("committed, m = e", PAID_1, commit(), None, [(1, COMMITTED)], 0),
    ("committed, m = e", PAID_1, abort(), contradicts("abort", DONE_1), [(1, COMMITTED)], 0),
    ("committed, m > e", PAID_1, prepare(2), vote(WAS_COMMITTED, 2), [(1, COMMITTED)], 0),
    ("committed, m > e", PAID_1, commit(2), contradicts("commit", DONE_1, 2), [(1, COMMITTED)], 0),
    ("committed, m > e", PAID_1, abort(2), contradicts("abort", DONE_1, 2), [(1, COMMITTED)], 0),
    ("committed, m < e", PAID_2, prepare(1), vote(WAS_COMMITTED), [(2, COMMITTED)], 0),
    ("committed, m < e", PAID_2, abort(1), None, [(2, COMMITTED)], 0),
    ("committed, m < e", PAID_2, commit(1), contradicts("commit", DONE_2), [(2, COMMITTED)], 0),
]  # fmt: skip


@pytest.mark.parametrize(("known", "before", "message", "answer", "journal", "held_minor"), ROWS)
@pytest.mark.parametrize("is_same_turn", [False, True])
def test_each_row_of_the_participants_table(known, before, message, answer, journal, held_minor, is_same_turn):
    bank = Bank()
    if is_same_turn and before:
        said = bank.turn(*before, message)[-1]
    else:
        for earlier in before:
            bank.turn(earlier)
        said = bank.turn(message)
    assert said == answer
    assert bank.outcomes() == journal
    assert bank.sums("alice")[1] == held_minor


def test_a_commit_moves_the_money_to_the_clearing_account_of_the_payees_bank():
    bank = Bank()
    bank.turn(prepare(amount_minor=400))
    assert bank.sums("alice") == (1000, 400, 0)
    assert bank.sums("@ICICI/INR") == (0, 0, 400)
    bank.turn(commit())
    assert bank.sums("alice") == (600, 0, 0)
    assert bank.sums("@ICICI/INR") == (400, 0, 0)


def test_the_payees_bank_is_owed_what_it_credits():
    bank = Bank()
    bank.turn(prepare(payer="carol", payer_bank="SBI", payee="bob", payee_bank="HDFC"))
    bank.turn(commit()._replace(payer="carol"))
    assert bank.sums("@SBI/INR") == (-100, 0, 0)
    assert bank.sums("bob") == (100, 0, 0)


def test_both_accounts_in_one_bank_take_one_vote_and_no_clearing_account():
    bank = Bank()
    assert bank.turn(prepare(payee_bank="HDFC")) == vote(YES)
    bank.turn(commit())
    assert bank.sums("alice") == (900, 0, 0)
    assert bank.sums("bob") == (100, 0, 0)
    assert [(e.debit_account, e.credit_account, e.amount_minor) for e in bank.journal] == [("alice", "bob", 100)]


def test_money_that_is_held_cannot_be_promised_again():
    bank = Bank()
    bank.turn(prepare(amount_minor=700))
    other = prepare(payment_id=b"x" * 16, amount_minor=400)
    assert bank.turn(other) == Vote(b"x" * 16, "alice", 1, NO, BROKE)
    bank.turn(abort())
    assert bank.turn(other._replace(epoch=2)).kind is YES


def test_two_users_may_use_the_same_payment_id():
    bank = Bank()
    bank.disk["bob"].posted = 50
    assert bank.turn(prepare()).kind is YES
    assert bank.turn(prepare(payer="bob", payee="alice", amount_minor=50)) == Vote(ID, "bob", 1, YES, Reason.NONE)
    bank.turn(commit())
    assert bank.sums("bob") == (50, 50, 0)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (prepare(payer="nobody"), Reason.PAYER_ACCOUNT_NOT_FOUND),
        (prepare(payee="nobody", payee_bank="HDFC"), Reason.PAYEE_ACCOUNT_NOT_FOUND),
        (prepare(currency="EUR"), Reason.CURRENCY_MISMATCH),
        (prepare(amount_minor=ALICE_MINOR + 1), Reason.INSUFFICIENT_FUNDS),
    ],
)
def test_all_that_can_refuse_a_payment_refuses_it_at_prepare(asked, reason):
    bank = Bank()
    said = bank.turn(asked)
    assert (said.kind, said.reason) == (NO, reason)
    assert bank.outcomes() == [(1, DECLINED)]


@pytest.mark.parametrize(
    "asked", [prepare(currency="EUR"), prepare(amount_minor=ALICE_MINOR + 1), prepare(payer="nobody")]
)
def test_a_payment_that_is_refused_opens_no_account(asked):
    bank = Bank()
    bank.participant.start_turn({}, now_us=7)
    assert bank.participant.prepare(asked).kind is NO
    assert bank.ledger.take_changes().accounts == []


def test_two_payments_that_open_an_account_in_one_turn_share_it():
    bank = Bank()
    bank.turn(prepare(amount_minor=1), prepare(amount_minor=2)._replace(payment_id=b"y" * 16))
    assert bank.sums("@ICICI/INR") == (0, 0, 3)


def test_a_balance_that_would_pass_the_largest_is_refused_before_the_vote():
    bank = Bank()
    bank.disk["bob"].posted = BALANCE_MAX - 150
    incoming = prepare(payer="carol", payer_bank="SBI", payee_bank="HDFC")
    assert bank.turn(incoming).kind is YES
    second = bank.turn(incoming._replace(payment_id=b"y" * 16))
    assert (second.kind, second.reason) == (NO, Reason.BALANCE_LIMIT_EXCEEDED)


def test_a_prepare_with_another_body_under_a_held_id_changes_nothing():
    bank = Bank()
    bank.turn(prepare())
    assert bank.turn(prepare(amount_minor=5)) == contradicts("prepare with another body", "held")
    assert bank.sums("alice") == (1000, 100, 0)


def test_what_is_in_doubt_is_told_until_it_is_decided():
    bank = Bank()
    bank.turn(prepare())
    assert bank.participant.in_doubt() == [(ID, "alice", 1)]
    bank.turn(commit())
    assert bank.participant.in_doubt() == []


def test_all_that_is_in_doubt_is_told_oldest_first_however_much_it_is():
    bank = Bank()
    ids = [bytes([255 - number]) * 16 for number in range(250)]
    for payment_id in ids:
        bank.turn(prepare(payment_id=payment_id, amount_minor=1))
    assert bank.participant.in_doubt() == [(payment_id, "alice", 1) for payment_id in ids]


def test_a_declined_payment_stays_declined_after_funds_arrive():
    bank = Bank()
    assert bank.turn(prepare(amount_minor=1001)).kind is NO
    bank.disk["alice"].posted = 5000
    again = bank.turn(prepare(amount_minor=1001))
    assert (again.kind, again.reason) == (NO, BROKE)
