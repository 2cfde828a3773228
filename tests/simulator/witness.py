"""Sees what every process does and says, and objects at once where it may not be. Cheap enough for every step.

What it remembers is the evidence for `tests.simulator.invariants`, which compare it with the disks.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from interbank.v1 import bank_pb2 as pb

from nodes.bank import turn as bank_turn
from nodes.client.client import PaymentRequest
from nodes.client.errors import NotAllowed
from nodes.client.outbox import EXPIRES_AFTER_S
from nodes.core.chain import Head
from nodes.core.coordinator import Answer, BankUnknown, Decided, Differs
from nodes.core.ledger import Hold
from nodes.core.messages import (
    Decide,
    Decision,
    Payment,
    PaymentKey,
    Prepare,
    Reason,
    TransactionKey,
    Vote,
    VoteKind,
)
from nodes.core.violations import format_payment_id, parse_payment
from nodes.gateway import turn as gateway_turn
from tests.simulator.cuts import JOURNAL, Standing, check_cut
from tests.simulator.gateway import TIMEOUT_MS
from tests.simulator.violation import Violation, demand

if TYPE_CHECKING:
    from tests.simulator.bank import Bank
    from tests.simulator.gateway import Call, Gateway
    from tests.simulator.world import World

HOLDS = "SELECT payment_id, payer, epoch FROM hold"
_ITEMS = "SELECT payment_id, state, saved_at FROM item ORDER BY number"
_UNKNOWN = 2

CutNumber = tuple[int, int]
"""(the gateway's epoch, which of its cuts)."""


class Witness:
    """What was seen so far.

    ``decided``: decisions that were durable, by their turn. ``told_decisions``: (what was
    asked, the decision that it was answered with). ``told_refusals``: what was asked, and will
    never be taken. ``yes``: votes that left a bank. ``no``: why banks have refused. ``aborted``: what
    a bank has heard is aborted. ``promises``: payments of which a shell has said that it
    will send them.
    """

    def __init__(self, world: "World") -> None:
        self.decided: dict[PaymentKey, Decision] = {}
        self.told_decisions: set[tuple[Payment, Decision]] = set()
        self.told_refusals: set[Payment] = set()
        self.yes: set[tuple[str, TransactionKey]] = set()
        self.no: dict[tuple[str, TransactionKey], Reason] = {}
        self.aborted: set[tuple[str, TransactionKey]] = set()
        self.promises: dict[Payment, float] = {}
        self.ended: dict[tuple[str, str], int] = {}
        self.journals: dict[str, list[tuple]] = {}
        self._marked: dict[CutNumber, int] = {}
        self._answered: dict[tuple[CutNumber, str], bank_turn.Cut] = {}
        self.cuts = 0
        self._bodies: set[Payment] = set()
        self._sent: set[Payment] = set()
        self._world = world

    # -- the gateway ------------------------------------------------------------

    def gateway_started(self, gateway: "Gateway") -> None:
        """Look at what the gateway finds on its disk: a decision may be durable that it died of."""
        altered = gateway.store.find_alterations()
        demand(not altered, "I9 the gateway starts with records as it wrote them", altered)
        for decision in gateway.store.decisions_since(0):
            known = self.decided.setdefault(decision.payment.key, decision)
            demand(known == decision, "I3 a decision stays as it was written", (known, decision))

    def gateway_turned(self, spoken: gateway_turn.Spoken, deadline_ms: int | None) -> None:
        """Look at what the gateway has decided and is about to say, and when its next deadline is."""
        is_in_time = deadline_ms is None or deadline_ms > self._world.now_ms
        demand(is_in_time, "I10 nothing stays open past its deadline", deadline_ms)
        demand(not spoken.contradictions, "I2 no two records contradict each other", spoken.contradictions)
        for key, decision in spoken.effects.decisions.items():
            self._look_at_decision(key, decision)
        for bank, decides in spoken.effects.decides.items():
            self._look_at_decides(bank, decides)
        for inquiry, decides in spoken.inquiries:
            self._look_at_decides(inquiry.bank, decides)
        for call, answer in spoken.effects.answers:
            self._look_at_answer(call, answer)

    def _look_at_decision(self, key: PaymentKey, decision: Decision) -> None:
        demand(key not in self.decided, "I3 a payment is decided once", (self.decided.get(key), decision))
        demand(decision.payment in self._bodies, "I7 what is decided on is what somebody asked for", decision)
        if decision.is_committed:
            voters = {bank for bank in decision.payment.banks if (bank, (*key, decision.epoch)) in self.yes}
            demand(voters == set(decision.payment.banks), "I2 all banks voted yes on what commits", decision)
        elif decision.reason is Reason.BANK_UNAVAILABLE:
            waited_us = decision.decided_at_us - decision.created_at_us
            demand(waited_us >= TIMEOUT_MS * 1000, "I10 votes are waited for until the deadline", decision)
            is_late = decision.created_at_us / 1000 + TIMEOUT_MS > self._world.calm_since_ms
            demand(not is_late, "I10 in calm each bank is asked, also again, and votes in time", decision)
        else:
            reasons = [self.no.get((bank, (*key, decision.epoch))) for bank in decision.payment.banks]
            demand(decision.reason in reasons, "I2 a bank has refused what is declined, for this reason", decision)
        self.decided[key] = decision

    def _look_at_decides(self, bank: str, decides: list[Decide]) -> None:
        for decide in decides:
            decision = self.decided.get((decide.payment_id, decide.payer))
            is_commit = decision is not None and decision.is_committed and decision.epoch == decide.epoch
            demand(is_commit == decide.commit, f"I2 {bank} is told what was decided", (decide, decision))

    def _look_at_answer(self, call: "Call", answer: Answer) -> None:
        if isinstance(answer, Decided):
            decision = answer.decision
            demand(decision == self.decided.get(call.payment.key), "I6 the recorded outcome is told", answer)
            demand(
                decision.payment == call.payment, "I7 an outcome is told for the very same fields", (call, answer)
            )
        elif isinstance(answer, Differs):
            known = self.decided.get(call.payment.key)
            demand(
                known is None or known.payment != call.payment, "I7 only other fields are refused", (call, answer)
            )
        elif isinstance(answer, BankUnknown):
            is_known = answer.bank in self._world.bank_names
            demand(not is_known, "I10 a bank that is away is no bank that is unknown", (call, answer))

    def heads_compared(self, node: str, difference: str | None) -> None:
        """Look at what others have heard of a node's chain: no disk was ever put back or lost."""
        demand(not difference, f"I9 the chain of {node} holds all that others have heard of it", difference)

    # -- banks ------------------------------------------------------------------

    def bank_started(self, bank: "Bank") -> None:
        """Look at what a bank knows when it starts."""
        altered = bank.store.find_alterations()
        demand(not altered, f"I9 {bank.name} starts with books as it wrote them", altered)
        kept = sorted(self._world.disks[bank.name].rows(HOLDS))
        known = sorted((hold.payment_id, hold.payer, hold.epoch) for hold in bank.ledger.holds.values())
        demand(kept == known, f"I4 {bank.name} starts with all that it has promised", (kept, known))

    def bank_turned(
        self,
        bank: "Bank",
        events: list[bank_turn.Event],
        answers: list[bank_turn.Said],
        held: Mapping[PaymentKey, Hold],
    ) -> None:
        """Look at what a bank has done, and is about to say; ``held`` is what it held before."""
        wrong = _find_wrong_orders(events)
        for said in answers:
            demand(not said.contradictions, f"I2 {bank.name} meets no contradiction", said.contradictions)
            if said.cut is not None:
                self._answered[(said.stream[1], said.cut.number), bank.name] = said.cut
            for vote in said.votes:
                if vote.kind is VoteKind.YES:
                    demand(
                        vote[:3] not in wrong, f"I14 {bank.name} votes yes on what its payer ordered alone", vote
                    )
                    transaction = vote.payment_id, vote.payer, vote.epoch
                    is_late = (bank.name, transaction) in self.aborted
                    demand(not is_late, f"I4 {bank.name} votes yes on nothing that it knows is aborted", vote)
                    self.yes.add((bank.name, transaction))
                elif vote.kind is not VoteKind.COMMITTED:
                    self._look_at_refusal(bank, vote, events)
        for key, hold in held.items():
            now = bank.ledger.holds.get(key)
            if now is None or now.epoch != hold.epoch:
                demand(_may_end(hold, events), f"I4 {bank.name} keeps what it promised until it is told", hold)
        self.aborted.update((bank.name, decide[:3]) for decide in _decides(events) if not decide.commit)

    def _look_at_refusal(self, bank: "Bank", vote: Vote, events: list[bank_turn.Event]) -> None:
        """Look at why a bank refuses: by what it has heard, or when it says so first; later its books differ."""
        if vote.kind is VoteKind.ABORTED:
            heard = [decide[:3] for decide in _decides(events) if not decide.commit]
            heard += [transaction for name, transaction in self.aborted if name == bank.name]
            is_true = any(key[:2] == vote[:2] and key[2] >= vote.epoch for key in heard)
        else:
            said = [transaction for name, transaction in self.no if name == bank.name]
            is_first = not any(key[:2] == vote[:2] and key[2] >= vote.epoch for key in said)
            is_true = not is_first or _is_refused_rightly(bank, vote, events, self._world.users)
        demand(is_true, f"I10 {bank.name} refuses nothing without a ground", vote)
        self.no.setdefault((bank.name, vote[:3]), vote.reason or Reason.ABORTED_BY_BANK)

    # -- cuts -------------------------------------------------------------------

    def marked(self, number: CutNumber, head: Head) -> None:
        """Take note of what is decided when the markers of a cut are sent."""
        self._marked[number] = len(self.decided)
        demand(head.last_sequence == len(self.decided), "I13 a cut says up to where decisions go", head)

    def cut_taken(self, number: CutNumber, head: Head, banks: list[pb.BankCut]) -> None:
        """Look at a cut that is finished."""
        self.cuts += 1
        demand(number in self._marked, "I13 a cut is made of the answers to its own markers", number)
        before = {key: made for key, made in self.decided.items() if made.sequence <= self._marked[number]}
        demand(head.last_sequence == len(before), "I13 a cut says up to where decisions go", head)
        names = [cut.bank for cut in banks]
        demand(names == sorted(self._world.banks), "I13 a cut has every bank", names)
        check_cut(before, {cut.bank: self._standing(number, cut) for cut in banks})

    def _standing(self, number: CutNumber, cut: pb.BankCut) -> Standing:
        at_bank = self._answered.get((number, cut.bank))
        is_of_this = at_bank is not None and cut.number == number[1]
        demand(is_of_this, "I13 a cut is made of the answers to its own markers", (number, cut))
        assert at_bank is not None
        journal = self._world.disks[cut.bank].rows(f"{JOURNAL} WHERE sequence <= {at_bank.head.last_sequence}")
        return Standing(at_bank, cut, journal)

    # -- clients ----------------------------------------------------------------

    def asked(self, payment: Payment) -> None:
        """Take note of a body that somebody sends."""
        self._bodies.add(payment)

    def told(self, call: "Call", answer: Any) -> None:
        """Take note of what reaches a client."""
        if isinstance(answer, Decided):
            self.told_decisions.add((call.payment, answer.decision))
        elif isinstance(answer, Differs | BankUnknown | NotAllowed):
            self.told_refusals.add(call.payment)

    def promised(self, user: str, request: PaymentRequest) -> None:
        """Take note that a shell has told its user: this will be sent."""
        accounts = request.payer_account, request.payee_account
        payment = parse_payment(request.payment_id, accounts, request.amount_minor, request.currency, request.memo)
        self.promises[payment] = self._world.now_ms / 1000

    def sends(self, user: str, payment: Payment) -> None:
        """Look at what a shell is about to send."""
        self.asked(payment)
        payment_id = format_payment_id(payment.payment_id)
        for other, state, saved_at in self._world.disks[user].rows(_ITEMS):
            if other == payment_id:
                demand(state == _UNKNOWN, "I12 what is sent was marked as sent before", (user, payment, state))
                self._demand_in_time(payment, saved_at)
                return
            demand(state > _UNKNOWN, f"I12 {user}'s payments are sent in order", (payment, other))
        raise Violation(f"I12 what is sent is in the outbox: {payment}")

    def _demand_in_time(self, payment: Payment, saved_at: float) -> None:
        if payment not in self._sent:
            waited_s = self._world.now_ms / 1000 - saved_at
            demand(waited_s <= EXPIRES_AFTER_S, "I12 nothing is sent first after it has expired", payment)
            self._sent.add(payment)


def _find_wrong_orders(events: list[bank_turn.Event]) -> set[TransactionKey]:
    """Return the transactions that a bank is asked for with another's login."""
    prepares = _prepares(events)
    return {prepare[:3] for prepare in prepares if prepare.authority and prepare.authority.login != prepare.payer}


def _prepares(events: list[bank_turn.Event]) -> list[Prepare]:
    return [prepare for event in events if isinstance(event, bank_turn.Received) for prepare in event.prepares]


def _decides(events: list[bank_turn.Event]) -> list[Decide]:
    return [decide for event in events if isinstance(event, bank_turn.Received) for decide in event.decides]


def _is_refused_rightly(bank: "Bank", vote: Vote, events: list[bank_turn.Event], users: Collection[str]) -> bool:
    """Tell whether what a bank says of itself is so; of funds, if nothing else of this turn has touched them."""
    prepare = next(prepare for prepare in _prepares(events) if prepare[:3] == vote[:3])
    match vote.reason:
        case Reason.NOT_AUTHORIZED:
            return vote[:3] in _find_wrong_orders(events)
        case Reason.PAYEE_ACCOUNT_NOT_FOUND:
            return prepare.payee_bank == bank.name and prepare.payee not in users
        case Reason.CURRENCY_MISMATCH:
            return prepare.currency != "INR"
        case Reason.INSUFFICIENT_FUNDS if prepare.payer_bank == bank.name:
            payer = bank.ledger.account(prepare.payer)
            is_alone = len(_prepares(events)) == 1 and not _decides(events)
            return payer is not None and (not is_alone or payer.available < prepare.amount_minor)
    return False


def _may_end(hold: Hold, events: list[bank_turn.Event]) -> bool:
    """Tell whether something in these events ends a promise."""
    for event in events:
        if not isinstance(event, bank_turn.Received):
            continue
        for decide in event.decides:
            if decide[:2] == hold[:2] and (
                decide.epoch == hold.epoch or (decide.epoch > hold.epoch and not decide.commit)
            ):
                return True
        if any(prepare[:2] == hold[:2] and prepare.epoch > hold.epoch for prepare in event.prepares):
            return True
    return False
