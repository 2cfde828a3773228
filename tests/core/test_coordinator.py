"""The coordinator: what it decides, when, and what it says to whom."""

import pytest

from nodes.core import coordinator as coordinator_module
from nodes.core.coordinator import (
    BankAway,
    BankUnknown,
    Contradicted,
    Coordinator,
    Decided,
    Differs,
    Effects,
    Overloaded,
)
from nodes.core.messages import (
    LOST_MEMO,
    UNKNOWN_USER,
    Contradiction,
    Decide,
    Decision,
    Outcome,
    Payment,
    Reason,
    Vote,
    VoteKind,
)
from nodes.core.resolution import Resolution, State

ID = bytes(range(16))
PAYMENT = Payment(ID, "alice", "HDFC", "bob", "ICICI", 100, "INR", "rent")
KEY = (ID, "alice")
TIMEOUT_MS = 2000
COMMITTED, DECLINED = Outcome.COMMITTED, Outcome.DECLINED


class Gateway:
    """A coordinator of epoch 5 with its banks, each turn ended as the shell would."""

    def __init__(self, *, epoch: int = 5, **room: int) -> None:
        self.coordinator = Coordinator(epoch=epoch, last_sequence=0, timeout_ms=TIMEOUT_MS, **room)
        self.disk: dict = {}
        self.now_ms = 0
        for bank in ("HDFC", "ICICI"):
            self.coordinator.connect(bank, [], {})
        self.end_turn()

    def end_turn(self) -> Effects:
        effects = self.coordinator.take_effects()
        for key in effects.decisions:
            assert key not in self.disk, "a payment is decided once"
        self.disk.update(effects.decisions)
        self.coordinator.tell_time(self.now_ms, self.now_ms * 1000)
        return effects

    def begin(self, payment: Payment = PAYMENT, caller: str = "caller") -> Effects:
        self.coordinator.begin(payment, caller, self.disk.get(payment.key))
        return self.end_turn()

    def vote(
        self, bank: str, kind: VoteKind = VoteKind.YES, reason: Reason = Reason.NONE, epoch: int = 5
    ) -> Effects:
        self.coordinator.count_vote(bank, Vote(*KEY, epoch, kind, reason))
        return self.end_turn()

    def wait(self, ms: int) -> Effects:
        self.now_ms += ms
        self.coordinator.tell_time(self.now_ms, self.now_ms * 1000)
        self.coordinator.expire()
        return self.end_turn()

    def ask(self, bank: str, epoch: int = 5) -> list[Decide]:
        answers = self.coordinator.answer_inquiry(bank, [(*KEY, epoch)], self.disk)
        self.end_turn()
        return answers

    def recorded(self) -> tuple[Outcome, Reason] | None:
        decision = self.disk.get(KEY)
        return (decision.outcome, decision.reason) if decision else None


def decide(commit: bool, epoch: int = 5) -> Decide:
    return Decide(*KEY, epoch, commit)


def test_a_payment_is_prepared_at_both_banks_and_nothing_is_written():
    effects = Gateway().begin()
    assert sorted(effects.prepares) == ["HDFC", "ICICI"]
    assert effects.prepares["HDFC"][0].epoch == 5
    assert not effects.decisions
    assert not effects.answers


def test_two_yes_votes_commit_and_only_the_second_answers():
    gateway = Gateway()
    gateway.begin()
    assert not gateway.vote("HDFC").answers
    effects = gateway.vote("ICICI")
    [(caller, answer)] = effects.answers
    assert (caller, answer.replayed) == ("caller", False)
    assert answer.decision == Decision(1, 5, PAYMENT, COMMITTED, Reason.NONE, 0, 0)
    assert effects.decides == {"HDFC": [decide(True)], "ICICI": [decide(True)]}


def test_one_bank_with_both_accounts_commits_by_one_vote():
    gateway = Gateway()
    effects = gateway.begin(PAYMENT._replace(payee_bank="HDFC"))
    assert list(effects.prepares) == ["HDFC"]
    assert gateway.vote("HDFC").decides == {"HDFC": [decide(True)]}


def test_a_no_declines_at_once_and_only_the_other_bank_hears_of_it():
    gateway = Gateway()
    gateway.begin()
    effects = gateway.vote("HDFC", VoteKind.NO, Reason.INSUFFICIENT_FUNDS)
    assert gateway.recorded() == (DECLINED, Reason.INSUFFICIENT_FUNDS)
    assert effects.decides == {"ICICI": [decide(False)]}


def test_the_deadline_declines_with_bank_unavailable():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    assert not gateway.wait(TIMEOUT_MS - 1).decisions
    effects = gateway.wait(1)
    assert gateway.recorded() == (DECLINED, Reason.BANK_UNAVAILABLE)
    assert effects.decides == {"HDFC": [decide(False)], "ICICI": [decide(False)]}


def test_a_late_vote_changes_nothing():
    gateway = Gateway()
    gateway.begin()
    gateway.wait(TIMEOUT_MS)
    for bank in ("HDFC", "ICICI"):
        effects = gateway.vote(bank)
        assert effects == Effects()
    assert gateway.recorded() == (DECLINED, Reason.BANK_UNAVAILABLE)


def test_a_vote_and_a_deadline_in_one_turn_decide_once():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.coordinator.tell_time(TIMEOUT_MS, 0)
    gateway.coordinator.count_vote("ICICI", Vote(*KEY, 5, VoteKind.YES, Reason.NONE))
    gateway.coordinator.expire()
    assert [d.outcome for d in gateway.end_turn().decisions.values()] == [COMMITTED]


@pytest.mark.parametrize("bank", ["HDFC", "ICICI"])
def test_a_vote_that_is_repeated_counts_once(bank):
    gateway = Gateway()
    gateway.begin()
    gateway.vote(bank)
    assert not gateway.vote(bank).decisions


def test_a_vote_of_a_bank_that_has_no_part_counts_for_nothing():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("SBI")
    gateway.vote("HDFC")
    assert gateway.recorded() is None


def test_a_vote_of_an_older_epoch_counts_for_nothing():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC", epoch=4)
    gateway.vote("ICICI", epoch=4)
    assert gateway.recorded() is None


@pytest.mark.parametrize("outcome", [COMMITTED, DECLINED])
def test_the_same_request_again_is_answered_with_the_recorded_outcome(outcome):
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.vote("ICICI", VoteKind.YES if outcome is COMMITTED else VoteKind.NO)
    effects = gateway.begin(caller="again")
    [(caller, answer)] = effects.answers
    assert (caller, answer.decision.outcome, answer.replayed) == ("again", outcome, True)
    assert not effects.prepares


def test_a_repeat_while_the_first_is_under_way_joins_it():
    gateway = Gateway()
    gateway.begin(caller="first")
    assert gateway.begin(caller="second") == Effects()
    gateway.vote("HDFC")
    answers = gateway.vote("ICICI").answers
    assert [caller for caller, _ in answers] == ["first", "second"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"payer_bank": "SBI"}, "payer_account"),
        ({"payee": "carol"}, "payee_account"),
        ({"payee_bank": "SBI"}, "payee_account"),
        ({"amount_minor": 101}, "amount_minor"),
        ({"currency": "EUR"}, "currency"),
        ({"memo": "rents"}, "memo"),
    ],
)
@pytest.mark.parametrize("is_decided", [False, True])
def test_another_body_under_the_same_id_is_refused_with_the_field_that_differs(changed, field, is_decided):
    gateway = Gateway()
    gateway.begin()
    if is_decided:
        gateway.vote("HDFC")
        gateway.vote("ICICI")
    effects = gateway.begin(PAYMENT._replace(**changed), "other")
    assert effects == Effects(answers=[("other", Differs(field))])


def test_a_request_in_the_turn_of_its_decision_is_a_replay_and_no_second_try():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.coordinator.count_vote("ICICI", Vote(*KEY, 5, VoteKind.YES, Reason.NONE))
    gateway.coordinator.begin(PAYMENT, "late", None)
    effects = gateway.end_turn()
    assert [(caller, answer.replayed) for caller, answer in effects.answers] == [("caller", False), ("late", True)]
    assert not effects.prepares


def test_another_users_same_id_is_another_payment():
    gateway = Gateway()
    gateway.begin()
    effects = gateway.begin(PAYMENT._replace(payer="eve"))
    assert effects.prepares["HDFC"][0].payer == "eve"


def test_a_payment_whose_bank_is_away_is_not_begun():
    gateway = Gateway()
    gateway.coordinator.disconnect("ICICI")
    assert gateway.begin() == Effects(answers=[("caller", BankAway("ICICI"))])


def test_a_payment_of_a_bank_that_never_registered_names_the_account():
    effects = Gateway().begin(PAYMENT._replace(payee_bank="NOWHERE"))
    assert effects == Effects(answers=[("caller", BankUnknown("NOWHERE", "payee_account"))])


def test_beyond_capacity_nothing_is_begun():
    gateway = Gateway(capacity=1)
    gateway.begin()
    effects = gateway.begin(PAYMENT._replace(payment_id=b"z" * 16), "second")
    assert effects == Effects(answers=[("second", Overloaded())])


def test_what_is_known_is_joined_or_replayed_though_there_is_no_room_for_more():
    gateway = Gateway(capacity=1)
    other = PAYMENT._replace(payment_id=b"z" * 16)
    gateway.begin()
    assert gateway.begin(caller="joins") == Effects()
    gateway.vote("HDFC", VoteKind.NO, Reason.INSUFFICIENT_FUNDS)
    gateway.begin(other)
    [(caller, answer)] = gateway.begin(caller="comes again").answers
    assert (caller, answer.replayed) == ("comes again", True)


def test_a_bank_that_does_not_answer_fills_its_own_room_alone():
    gateway = Gateway(bank_capacity=1)
    gateway.coordinator.connect("SBI", [], {})
    gateway.begin(PAYMENT._replace(payee_bank="SBI"))
    among_others = PAYMENT._replace(payment_id=b"y" * 16, payer_bank="ICICI")
    effects = gateway.begin(PAYMENT._replace(payment_id=b"z" * 16, payer_bank="SBI"), "refused")
    assert effects == Effects(answers=[("refused", Overloaded())])
    assert not gateway.begin(among_others).answers


@pytest.mark.parametrize(
    "end",
    [
        lambda gateway: [gateway.vote("HDFC"), gateway.vote("ICICI")],
        lambda gateway: gateway.vote("HDFC", VoteKind.NO, Reason.INSUFFICIENT_FUNDS),
        lambda gateway: gateway.vote("HDFC", VoteKind.COMMITTED),
        lambda gateway: gateway.wait(TIMEOUT_MS),
    ],
)
def test_a_payment_that_has_ended_leaves_its_room_to_others(end):
    gateway = Gateway(bank_capacity=1)
    gateway.begin()
    end(gateway)
    assert not gateway.begin(PAYMENT._replace(payment_id=b"z" * 16)).answers


def test_an_inquiry_hears_the_decision_of_its_own_epoch():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.vote("ICICI")
    assert gateway.ask("HDFC") == [decide(True)]


def test_an_inquiry_about_what_is_under_way_is_left_open():
    gateway = Gateway()
    gateway.begin()
    assert gateway.ask("HDFC") == []


def test_an_inquiry_about_an_older_epoch_hears_aborted_though_a_newer_try_committed():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.vote("ICICI")
    assert gateway.ask("HDFC", epoch=4) == [decide(False, epoch=4)]


def test_an_inquiry_about_an_older_epoch_hears_aborted_while_a_newer_try_is_under_way():
    gateway = Gateway()
    gateway.begin()
    assert gateway.ask("HDFC", epoch=4) == [decide(False, epoch=4)]


def test_a_bank_that_has_no_part_in_a_payment_hears_nothing_of_its_decision():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.vote("ICICI")
    assert gateway.ask("SBI") == []
    assert gateway.ask("SBI", epoch=4) == [decide(False, epoch=4)]


def test_an_inquiry_about_what_nobody_asked_for_hears_aborted():
    assert Gateway().ask("HDFC") == [decide(False)]


@pytest.mark.parametrize("commit", [True, False])
def test_what_an_operator_has_resolved_is_the_answer_from_then_on_and_cannot_be_turned(commit):
    gateway = Gateway()
    word = Resolution(*KEY, 9, commit, "eve", "restored", 1)
    banks = {"HDFC": State.PREPARED, "ICICI": State.PREPARED}
    assert gateway.coordinator.resolve(word, banks, None) == ""
    assert gateway.ask("HDFC", epoch=9) == [decide(commit, epoch=9)]
    assert "contradicts" in gateway.coordinator.resolve(word._replace(commit=not commit), banks, None)
    assert "nothing to resolve" in gateway.coordinator.resolve(word, banks, None)


def test_an_operator_cannot_resolve_what_is_under_way_or_decided():
    gateway = Gateway()
    gateway.begin()
    word = Resolution(*KEY, 5, False, "eve", "in a hurry", 1)
    assert "under way" in gateway.coordinator.resolve(word, {"HDFC": State.PREPARED}, None)
    gateway.vote("HDFC")
    gateway.vote("ICICI")
    assert "contradicts" in gateway.coordinator.resolve(word, {"HDFC": State.PREPARED}, gateway.disk[KEY])
    assert gateway.ask("HDFC") == [decide(True)]


def test_an_inquiry_about_a_later_epoch_than_ours_is_an_alarm_and_no_answer():
    gateway = Gateway()
    assert gateway.coordinator.answer_inquiry("HDFC", [(*KEY, 6)], {}) == []
    [alarm] = gateway.end_turn().contradictions
    assert (alarm.payment_id, alarm.epoch) == (ID, 6)


def test_a_contradiction_is_an_alarm_once_however_often_it_is_met():
    gateway = Gateway()
    found = Contradiction(*KEY, 3, "commit", "HDFC: aborted")
    other = found._replace(said="abort")
    for _ in range(3):
        gateway.coordinator.answer_inquiry("HDFC", [(*KEY, 6)], {})
        gateway.coordinator.connect("HDFC", [(*KEY, 6), (*KEY, 7)], {})
        gateway.coordinator.contradict(found)
        gateway.coordinator.contradict(other)
    told = gateway.end_turn().contradictions
    assert [alarm.epoch for alarm in told] == [6, 7, 3, 3]
    gateway.coordinator.answer_inquiry("ICICI", [(*KEY, 6)], {})
    gateway.coordinator.answer_inquiry("HDFC", [(*KEY, 6)], {})
    assert [alarm.said for alarm in gateway.end_turn().contradictions] == ["ICICI holds a transaction of epoch 6"]


def test_a_bank_that_makes_contradictions_up_does_not_fill_the_disk(monkeypatch):
    monkeypatch.setattr(coordinator_module, "_ALARMS_MAX", 3)
    gateway = Gateway()
    gateway.coordinator.answer_inquiry("HDFC", [(*KEY, epoch) for epoch in range(6, 99)], {})
    assert len(gateway.end_turn().contradictions) == 3


def test_what_was_lost_is_neither_answered_nor_begun_again_until_an_operator_settles_it():
    gateway = Gateway()
    gateway.coordinator.recall_unknown([Contradiction(*KEY, 3, "HDFC holds it for epoch 3", "nothing")])
    assert gateway.ask("HDFC", epoch=3) == []
    assert gateway.ask("HDFC", epoch=2) == [Decide(*KEY, 2, commit=False)]
    assert gateway.begin().answers == [("caller", Contradicted("HDFC"))]
    word = Resolution(*KEY, 3, False, "eve", "restored", 1)
    assert gateway.coordinator.resolve(word, {"HDFC": State.PREPARED}, None) == ""
    assert gateway.ask("HDFC", epoch=3) == [Decide(*KEY, 3, commit=False)]
    assert "there is nothing to resolve" in gateway.coordinator.resolve(word, {"HDFC": State.PREPARED}, None)


@pytest.mark.parametrize(
    ("known", "asked", "differs"),
    [
        (PAYMENT._replace(memo=LOST_MEMO), PAYMENT, None),
        (PAYMENT._replace(memo=LOST_MEMO), PAYMENT._replace(memo="other"), None),
        (PAYMENT._replace(memo=LOST_MEMO), PAYMENT._replace(amount_minor=5), Differs("amount_minor")),
        (PAYMENT._replace(memo=LOST_MEMO, payee=UNKNOWN_USER, amount_minor=0), PAYMENT, None),
    ],
)
def test_of_a_payment_that_was_made_anew_only_what_is_known_is_compared(known, asked, differs):
    gateway = Gateway()
    decision = Decision(1, 3, known, DECLINED, Reason.ABORTED_BY_BANK, 5, 6)
    gateway.coordinator.begin(asked, "caller", decision)
    [(_, answer)] = gateway.end_turn().answers
    assert answer == (differs or Decided(decision, replayed=True))


def test_an_inquiry_in_the_turn_of_the_decision_hears_it():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    gateway.coordinator.count_vote("ICICI", Vote(*KEY, 5, VoteKind.YES, Reason.NONE))
    assert gateway.coordinator.answer_inquiry("HDFC", [(*KEY, 5)], {}) == [decide(True)]


def test_a_bank_that_connects_hears_its_decisions_and_the_prepares_it_has_not_voted_on():
    gateway = Gateway()
    old = PAYMENT._replace(payment_id=b"o" * 16)
    gateway.begin()
    gateway.coordinator.disconnect("HDFC")
    gateway.coordinator.connect("HDFC", [(old.payment_id, "alice", 3)], {})
    effects = gateway.end_turn()
    assert effects.decides["HDFC"] == [Decide(old.payment_id, "alice", 3, False)]
    assert [p.payment_id for p in effects.prepares["HDFC"]] == [ID]
    gateway.vote("HDFC")
    gateway.coordinator.connect("HDFC", [(*KEY, 5)], {})
    effects = gateway.end_turn()
    assert effects.prepares["HDFC"] == []
    assert effects.decides["HDFC"] == []


def test_a_bank_that_has_committed_what_is_open_here_is_an_alarm_and_no_outcome_is_told():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("ICICI")
    effects = gateway.vote("HDFC", VoteKind.COMMITTED)
    assert effects.answers == [("caller", Contradicted("HDFC"))]
    assert effects.contradictions
    assert gateway.recorded() is None
    assert gateway.begin(caller="again").answers == [("again", Contradicted("HDFC"))]


def test_an_abort_on_record_at_a_bank_declines():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC", VoteKind.ABORTED)
    assert gateway.recorded() == (DECLINED, Reason.ABORTED_BY_BANK)


def test_the_next_deadline_is_that_of_the_oldest_payment_still_open():
    gateway = Gateway()
    assert gateway.coordinator.next_deadline_ms() is None
    gateway.begin()
    gateway.wait(500)
    gateway.begin(PAYMENT._replace(payment_id=b"n" * 16))
    assert gateway.coordinator.next_deadline_ms() == TIMEOUT_MS
    gateway.vote("HDFC", VoteKind.NO)
    assert gateway.coordinator.next_deadline_ms() == TIMEOUT_MS + 500


def test_every_answer_is_told_with_a_decision_of_the_same_turn_or_an_older_one():
    gateway = Gateway()
    gateway.begin()
    gateway.vote("HDFC")
    effects = gateway.vote("ICICI")
    for _, answer in effects.answers:
        assert isinstance(answer, Decided)
        assert answer.decision in effects.decisions.values()
