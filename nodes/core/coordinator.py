"""The gateway's side of two-phase commit: presumed abort, fenced by epochs.

One payment, from the first word to the last:

    ==========  ======================  =============================================
    state       event                   what happens
    ==========  ======================  =============================================
    (nothing)   begin                   -> OPEN; prepare to each bank
    OPEN        the same again          the caller joins and waits
    OPEN        vote yes, others out    the bank's vote is counted
    OPEN        vote yes, the last one  -> COMMITTED
    OPEN        vote no                 -> DECLINED(the bank's reason)
    OPEN        deadline                -> DECLINED(bank_unavailable)
    OPEN        the gateway dies        -> (nothing): the epoch is over, banks that
                                        ask hear *aborted*
    COMMITTED   the same again          the recorded outcome, replayed
    DECLINED    the same again          the recorded outcome, replayed
    any         another body, same id   refused, naming the field that differs
    ==========  ======================  =============================================

A payment commits when its `Decision` is durable, and at no other moment. Nothing is
written before prepares leave: a try that left no decision is over with its epoch,
since a gateway increments its epoch on disk before it serves. So the answer to a bank
that asks about (payment, epoch) is the recorded decision *of that very epoch*, or
"wait" while it is open in this epoch, or else "aborted", without a look at anything
more; and it stays true for ever.

Every decision is made in `_decide`, which takes the payment out of the open ones
first; that, and the unique key of the decisions' table, is the compare-and-set which
votes, deadlines and operators share.

Sources: Mohan and Lindsay 1983, section 3 (presumed abort); Gray and Lamport 2006,
section 3 (names of the phases).
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nodes.core.authority import Authority
from nodes.core.messages import (
    LOST_MEMO,
    UNKNOWN_USER,
    Contradiction,
    Decide,
    Decision,
    Outcome,
    Payment,
    PaymentKey,
    Prepare,
    Reason,
    TransactionKey,
    Vote,
    VoteKind,
)
from nodes.core.resolution import Resolution, Standing, State, find_objection, judge

Caller = Any
"""Whoever waits for an answer; handed back with it and never looked into."""


class Decided(NamedTuple):
    """Answer: the payment has ended so; ``replayed`` if it had before this request came."""

    decision: Decision
    replayed: bool


class Differs(NamedTuple):
    """Answer: this id was used for another payment; ``field`` is the first that differs."""

    field: str


class BankAway(NamedTuple):
    """Answer: not begun, nothing recorded; the bank is not connected now."""

    bank: str


class BankUnknown(NamedTuple):
    """Answer: not begun; no such bank has ever registered. ``field`` is the account's."""

    bank: str
    field: str


class Overloaded(NamedTuple):
    """Answer: not begun; as many payments are open as may be, here or with one of the banks."""


class Contradicted(NamedTuple):
    """Answer: a bank has this payment on record in another way; only an operator can tell."""

    bank: str


Answer = Decided | Differs | BankAway | BankUnknown | Overloaded | Contradicted


@dataclass(slots=True)
class Effects:
    """What a turn asks for. Prepares may leave at once; all else only when `decisions` are durable."""

    prepares: dict[str, list[Prepare]] = field(default_factory=dict)
    decisions: dict[PaymentKey, Decision] = field(default_factory=dict)
    decides: dict[str, list[Decide]] = field(default_factory=dict)
    answers: list[tuple[Caller, Answer]] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)


_ALARMS_MAX = 10_000
"""How many contradictions are told in one run of the gateway: a bank gone wrong could make up any number."""
_PAYER_VOTE = 1
_PAYEE_VOTE = 2


class _Open:
    """A payment whose votes are being collected."""

    __slots__ = ("authority", "banks", "callers", "created_at_us", "missing_votes", "payment")

    def __init__(
        self, payment: Payment, caller: Caller, created_at_us: int, authority: Authority | None = None
    ) -> None:
        self.payment = payment
        self.banks = payment.banks
        self.authority = authority
        self.callers = [caller]
        self.created_at_us = created_at_us
        self.missing_votes = _PAYER_VOTE if payment.payer_bank == payment.payee_bank else _PAYER_VOTE | _PAYEE_VOTE

    def awaits(self, bank: str) -> int:
        """Return the bit of this bank's missing vote, or 0 if none is missing."""
        payment = self.payment
        bit = _PAYER_VOTE if bank == payment.payer_bank else _PAYEE_VOTE if bank == payment.payee_bank else 0
        return self.missing_votes & bit


class Coordinator:
    """The open payments of one epoch, and which banks are there.

    Call `tell_time` at the start of each turn, then the events in any order, then
    `take_effects`, and do with them what `nodes.core` says.

    ``capacity`` bounds the open payments, ``bank_capacity`` those that one bank has a part
    in: so a bank that does not answer fills its own room, and leaves that of the others.
    Both are what can be decided well within the timeout.
    """

    def __init__(
        self,
        *,
        epoch: int,
        last_sequence: int,
        timeout_ms: int,
        capacity: int = 50_000,
        bank_capacity: int = 20_000,
    ) -> None:
        self.epoch = epoch
        self.last_sequence = last_sequence
        self.open: dict[PaymentKey, _Open] = {}
        self.connected: dict[str, bool] = {}
        self.resolved: dict[TransactionKey, bool] = {}
        """What operators have settled by hand: whether it commits."""
        self.unknown: set[TransactionKey] = set()
        """What banks held when the gateway's records were made anew, and its old ones might have committed."""
        self._timeout_ms = timeout_ms
        self._capacity = capacity
        self._bank_capacity = bank_capacity
        self._open_at: Counter[str] = Counter()
        self._contradicted: dict[PaymentKey, str] = {}
        self._alarms: set[tuple[bytes, str, int, str]] = set()
        """What was told of contradictions: banks ask again and again about what has no answer."""
        self._deadlines: deque[tuple[int, PaymentKey, _Open]] = deque()
        self._effects = Effects()
        self._now_ms = 0
        self._now_us = 0

    def tell_time(self, monotonic_ms: int, wall_us: int) -> None:
        """Say what time it is: deadlines go by ``monotonic_ms``, records show ``wall_us``."""
        self._now_ms = monotonic_ms
        self._now_us = wall_us

    def take_effects(self) -> Effects:
        """End the turn."""
        effects, self._effects = self._effects, Effects()
        return effects

    # -- events -----------------------------------------------------------------

    def begin(
        self, payment: Payment, caller: Caller, recorded: Decision | None, authority: Authority | None = None
    ) -> None:
        """Take a client's request for ``payment``; ``recorded`` is the decision on record under its key.

        Banks want to see the payer's ``authority``, however often they are asked.
        """
        key = payment.payment_id, payment.payer
        recorded = recorded or self._effects.decisions.get(key)
        if recorded is not None:
            self._answer(caller, _compare(recorded.payment, payment) or Decided(recorded, replayed=True))
            return
        under_way = self.open.get(key)
        if under_way is not None:
            differs = _compare(under_way.payment, payment)
            if differs is None:
                under_way.callers.append(caller)
            else:
                self._answer(caller, differs)
            return
        refusal = self._refuse(payment, key)
        if refusal is not None:
            self._answer(caller, refusal)
            return
        opened = _Open(payment, caller, self._now_us, authority)
        self.open[key] = opened
        self._deadlines.append((self._now_ms + self._timeout_ms, key, opened))
        prepare = _prepare(opened, self.epoch)
        prepares = self._effects.prepares
        for bank in opened.banks:
            self._open_at[bank] += 1
            prepares.setdefault(bank, []).append(prepare)

    def count_vote(self, bank: str, vote: Vote) -> None:
        """Take the answer of ``bank`` to a prepare. Late, repeated and strange votes change nothing."""
        payment_id, payer, epoch, kind, reason = vote
        opened = self.open.get((payment_id, payer))
        if opened is None or epoch != self.epoch:
            return
        bit = opened.awaits(bank)
        if not bit:
            return
        opened.missing_votes &= ~bit
        if kind is VoteKind.YES:
            if not opened.missing_votes:
                self._decide(opened, Outcome.COMMITTED, Reason.NONE)
        elif kind is VoteKind.COMMITTED:
            self._contradict(opened, bank)
        else:
            self._decide(opened, Outcome.DECLINED, reason or Reason.ABORTED_BY_BANK, refused_by=bank)

    def expire(self) -> None:
        """Decline every open payment whose deadline has come."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= self._now_ms:
            _, key, opened = deadlines.popleft()
            if self.open.get(key) is opened:
                self._decide(opened, Outcome.DECLINED, Reason.BANK_UNAVAILABLE)

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do next, in monotonic milliseconds."""
        deadlines = self._deadlines
        while deadlines and self.open.get(deadlines[0][1]) is not deadlines[0][2]:
            deadlines.popleft()
        return deadlines[0][0] if deadlines else None

    def answer_inquiry(
        self, bank: str, transactions: Iterable[TransactionKey], recorded: Mapping[PaymentKey, Decision]
    ) -> list[Decide]:
        """Return the decisions of what ``bank`` holds in doubt; those still open are left out.

        ``recorded`` holds the decisions on record under the keys asked about. The
        answer rests on this turn's decisions too: it may leave only after they are durable.
        """
        answers = []
        for payment_id, payer, epoch in transactions:
            key = payment_id, payer
            decision = recorded.get(key) or self._effects.decisions.get(key)
            if decision is not None and decision.epoch == epoch:
                if bank not in decision.payment.banks:
                    continue
                answers.append(Decide(payment_id, payer, epoch, decision.is_committed))
            elif (payment_id, payer, epoch) in self.resolved:
                answers.append(Decide(payment_id, payer, epoch, self.resolved[payment_id, payer, epoch]))
            elif (payment_id, payer, epoch) in self.unknown:
                continue
            elif epoch > self.epoch:
                said = f"{bank} holds a transaction of epoch {epoch}"
                self.contradict(Contradiction(*key, epoch, said, f"epoch {self.epoch}"))
            elif epoch < self.epoch or key not in self.open:
                answers.append(Decide(payment_id, payer, epoch, commit=False))
        return answers

    def contradict(self, found: Contradiction) -> None:
        """Take note of two records that cannot both be true; each is an alarm once."""
        alarm = found[:4]
        if alarm not in self._alarms and len(self._alarms) < _ALARMS_MAX:
            self._alarms.add(alarm)
            self._effects.contradictions.append(found)

    def judge(self, transaction: TransactionKey, recorded: Decision | None) -> Standing:
        """Say what is known of a transaction that a bank holds in doubt."""
        key, epoch = transaction[:2], transaction[2]
        recorded = recorded or self._effects.decisions.get(key)
        resolved = self.resolved.get(transaction)
        if transaction in self.unknown and resolved is None:
            return Standing(None, False, f"the gateway's records of epoch {epoch} were lost")
        return judge(epoch, recorded, resolved, is_open=key in self.open, gateway_epoch=self.epoch)

    def resolve(self, resolution: Resolution, banks: Mapping[str, State | None], recorded: Decision | None) -> str:
        """Take an operator's word for a transaction that no record settles; say why, if it may not be taken."""
        standing = self.judge(resolution.transaction, recorded)
        objection = find_objection(resolution.commit, standing, banks)
        if not objection:
            self.resolved[resolution.transaction] = resolution.commit
        return objection

    def recall_unknown(self, found: Iterable[Contradiction]) -> None:
        """Take what an operator has to settle; none of it is begun again under its id."""
        for payment_id, payer, epoch, said, _ in found:
            self.unknown.add((payment_id, payer, epoch))
            self._contradicted[payment_id, payer] = said.partition(" ")[0]

    def connect(
        self, bank: str, in_doubt: Iterable[TransactionKey], recorded: Mapping[PaymentKey, Decision]
    ) -> None:
        """Take note that ``bank`` has opened its stream and said all that it holds in doubt.

        It hears the decisions of those, and the prepares whose vote is still missing
        here: whatever was on its way when the last stream broke. So a commit needs no
        record of who confirmed it: a bank that missed it is a bank that holds it in doubt.
        """
        self.connected[bank] = True
        answers = self.answer_inquiry(bank, in_doubt, recorded)
        self._effects.decides.setdefault(bank, []).extend(answers)
        self._effects.prepares[bank] = [
            _prepare(opened, self.epoch) for opened in self.open.values() if opened.awaits(bank)
        ]

    def disconnect(self, bank: str) -> None:
        """Take note that the stream of ``bank`` is gone: nothing that needs it is begun until it is back."""
        self.connected[bank] = False

    # -- rules ------------------------------------------------------------------

    def _refuse(self, payment: Payment, key: PaymentKey) -> Answer | None:
        if key in self._contradicted:
            return Contradicted(self._contradicted[key])
        connected = self.connected
        if not (connected.get(payment.payer_bank) and connected.get(payment.payee_bank)):
            return self._refuse_bank(payment)
        fullest = max(self._open_at[payment.payer_bank], self._open_at[payment.payee_bank])
        is_full = len(self.open) >= self._capacity or fullest >= self._bank_capacity
        return Overloaded() if is_full else None

    def _refuse_bank(self, payment: Payment) -> Answer:
        for bank, account in ((payment.payer_bank, "payer_account"), (payment.payee_bank, "payee_account")):
            if bank not in self.connected:
                return BankUnknown(bank, account)
            if not self.connected[bank]:
                return BankAway(bank)
        raise AssertionError("both banks are connected")

    def _decide(self, opened: _Open, outcome: Outcome, reason: Reason, *, refused_by: str = "") -> None:
        payment = opened.payment
        key = payment.payment_id, payment.payer
        del self.open[key]
        self.last_sequence += 1
        decision = Decision(
            self.last_sequence, self.epoch, payment, outcome, reason, opened.created_at_us, self._now_us
        )
        effects = self._effects
        effects.decisions[key] = decision
        decide = Decide(payment.payment_id, payment.payer, self.epoch, outcome is Outcome.COMMITTED)
        for bank in opened.banks:
            self._open_at[bank] -= 1
            if bank != refused_by and self.connected.get(bank):
                effects.decides.setdefault(bank, []).append(decide)
        answer = Decided(decision, replayed=False)
        for caller in opened.callers:
            effects.answers.append((caller, answer))

    def _contradict(self, opened: _Open, bank: str) -> None:
        """End a try that a bank has on record as committed: this gateway's records are not the newest.

        Neither outcome may be told. The try ends without a decision, so what another
        bank has promised for it is given free when that bank asks; and none is begun again.
        """
        key = opened.payment.key
        del self.open[key]
        self._open_at.subtract(opened.banks)
        self._contradicted[key] = bank
        self.contradict(Contradiction(*key, self.epoch, f"{bank} has it on record as committed", "no decision"))
        self._effects.answers.extend((caller, Contradicted(bank)) for caller in opened.callers)

    def _answer(self, caller: Caller, answer: Answer) -> None:
        self._effects.answers.append((caller, answer))


def _compare(known: Payment, asked: Payment) -> Differs | None:
    if known.memo == LOST_MEMO:
        asked = asked._replace(memo=LOST_MEMO)
    if known.payee == UNKNOWN_USER:
        return None
    if known == asked:
        return None
    name = next(name for name in Payment._fields if getattr(known, name) != getattr(asked, name))
    return Differs(_FIELDS_AS_ASKED.get(name, name))


_FIELDS_AS_ASKED = {
    "payer": "payer_account",
    "payer_bank": "payer_account",
    "payee": "payee_account",
    "payee_bank": "payee_account",
}


def _prepare(opened: _Open, epoch: int) -> Prepare:
    payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, _ = opened.payment
    sides = payer_bank, payee, payee_bank
    return Prepare(payment_id, payer, epoch, *sides, amount_minor, currency, opened.authority)
