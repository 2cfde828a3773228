"""A bank's side of two-phase commit.

What a bank knows of a payment, and what it answers; ``e`` is the epoch it knows,
``m`` the epoch of the message:

    ================  =====================  ====================================================
    known             prepare                decide
    ================  =====================  ====================================================
    nothing           check; hold and YES,   abort: recorded, so that a late prepare finds it;
                      or record it and NO    commit: a contradiction
    held, m = e       YES again              commit: post; abort: release; recorded
    held, m > e       the old hold goes,     abort: release and record; commit: a contradiction
                      then as nothing known
    held, m < e       no answer              abort: nothing; commit: a contradiction
    aborted, m = e    the recorded answer    abort: nothing; commit: a contradiction
    aborted, m > e    as nothing known       abort: recorded; commit: a contradiction
    aborted, m < e    the recorded answer    abort: nothing; commit: a contradiction
    committed, m = e  COMMITTED              commit: nothing; abort: a contradiction
    committed, m > e  COMMITTED              a contradiction
    committed, m < e  COMMITTED              abort: nothing; commit: a contradiction
    ================  =====================  ====================================================

Once YES is durable the bank never ends the transaction by itself, however long it
waits: it asks (`in_doubt`). All that could refuse a payment is checked before YES; a
commit cannot fail. A contradiction changes nothing and is reported.

The table is tested row by row in tests/core/test_participant.py.
"""

from collections.abc import Mapping

from nodes.core.ledger import BALANCE_MAX, Account, Entry, Hold, Ledger, clearing_account
from nodes.core.messages import (
    Contradiction,
    Decide,
    Outcome,
    PaymentKey,
    Prepare,
    Reason,
    TransactionKey,
    Vote,
    VoteKind,
)


class Participant:
    """Votes on prepares and carries out decisions on one bank's `Ledger`.

    Start each turn with `start_turn`, feed messages in the order they came, end it
    with ``ledger.take_changes`` and do what `nodes.core` says.
    """

    def __init__(self, bank: str, ledger: Ledger) -> None:
        self.bank = bank
        self.ledger = ledger
        self._recorded: dict[PaymentKey, Entry] = {}
        self._now_us = 0

    def start_turn(self, recorded: Mapping[PaymentKey, Entry], now_us: int) -> None:
        """Take the newest journal entry on record under each key of this turn, and the wall time."""
        self._recorded = dict(recorded)
        self._now_us = now_us

    def in_doubt(self) -> list[TransactionKey]:
        """Return all that is held: prepared here, the decision not known here. Oldest first."""
        return [(hold.payment_id, hold.payer, hold.epoch) for hold in self.ledger.holds.values()]

    def prepare(self, prepare: Prepare) -> Vote | Contradiction | None:
        """Vote. None if the message is of an epoch that is over for this payment."""
        key = prepare[:2]
        hold = self.ledger.holds.get(key)
        if hold is not None:
            if hold.epoch > prepare.epoch:
                return None
            if hold.epoch == prepare.epoch:
                return self._vote_again(prepare, hold)
            self.ledger.release(hold)
        entry = self._recorded.get(key)
        if entry is not None:
            if entry.outcome is Outcome.COMMITTED:
                return _vote(prepare, VoteKind.COMMITTED)
            if entry.epoch >= prepare.epoch:
                return _vote(prepare, VoteKind.NO if entry.reason else VoteKind.ABORTED, entry.reason)
        return self._vote_first(prepare)

    def decide(self, decide: Decide) -> Contradiction | None:
        """Carry out a decision; None when all is well, also when it was carried out before."""
        key = decide.payment_id, decide.payer
        hold = self.ledger.holds.get(key)
        if hold is not None:
            return self._decide_held(decide, hold)
        entry = self._recorded.get(key)
        if entry is not None:
            return self._decide_again(decide, entry)
        if decide.commit:
            return _contradict(decide, "nothing")
        self._record_abort(decide)
        return None

    # -- prepare ----------------------------------------------------------------

    def _vote_again(self, prepare: Prepare, hold: Hold) -> Vote | Contradiction:
        if self._hold(prepare)._replace(at_us=hold.at_us) != hold:
            return Contradiction(*hold.key, hold.epoch, "prepare with another body", "held")
        return _vote(prepare, VoteKind.YES)

    def _vote_first(self, prepare: Prepare) -> Vote:
        if not prepare.is_rightful:
            # Who has no right to ask learns nothing of the accounts.
            return self._vote_no(prepare, Reason.NOT_AUTHORIZED)
        hold = self._hold(prepare)
        payment_id, payer, epoch, debit_name, credit_name, amount_minor, currency, _ = hold
        debit = self._side(debit_name, currency)
        credit = self._side(credit_name, currency)
        reason = _refuse(debit, credit, amount_minor, currency)
        if reason or debit is None or credit is None:
            return self._vote_no(prepare, reason)
        self.ledger.promise(hold, debit, credit)
        return Vote(payment_id, payer, epoch, VoteKind.YES, Reason.NONE)

    def _vote_no(self, prepare: Prepare, reason: Reason) -> Vote:
        payment_id, payer, epoch, *_ = prepare
        self._record(Entry(payment_id, payer, epoch, Outcome.DECLINED, reason, "", "", 0, "", self._now_us))
        return Vote(payment_id, payer, epoch, VoteKind.NO, reason)

    def _hold(self, prepare: Prepare) -> Hold:
        payment_id, payer, epoch, payer_bank, payee, payee_bank, amount_minor, currency, *_ = prepare
        debit = payer if payer_bank == self.bank else clearing_account(payer_bank, currency)
        credit = payee if payee_bank == self.bank else clearing_account(payee_bank, currency)
        return Hold(payment_id, payer, epoch, debit, credit, amount_minor, currency, self._now_us)

    def _side(self, name: str, currency: str) -> Account | None:
        return self.ledger.own_account(name, currency) if name.startswith("@") else self.ledger.account(name)

    # -- decide -----------------------------------------------------------------

    def _decide_held(self, decide: Decide, hold: Hold) -> Contradiction | None:
        if decide.commit:
            if decide.epoch != hold.epoch:
                return _contradict(decide, f"held by epoch {hold.epoch}")
            self.ledger.post(hold)
            committed = Outcome.COMMITTED, Reason.NONE
            self._record(Entry._make((*hold[:3], *committed, *hold[3:7], self._now_us)))
        elif decide.epoch >= hold.epoch:
            self.ledger.release(hold)
            self._record_abort(decide)
        return None

    def _decide_again(self, decide: Decide, entry: Entry) -> Contradiction | None:
        if entry.outcome is Outcome.COMMITTED:
            is_same = decide.commit and decide.epoch == entry.epoch
            is_old_abort = not decide.commit and decide.epoch < entry.epoch
            return None if is_same or is_old_abort else _contradict(decide, f"committed in epoch {entry.epoch}")
        if decide.commit:
            return _contradict(decide, f"aborted in epoch {entry.epoch}")
        if decide.epoch > entry.epoch:
            self._record_abort(decide)
        return None

    def _record_abort(self, decide: Decide) -> None:
        """Remember the abort, so that a prepare which comes late is answered with it."""
        self._record(Entry(*decide[:3], Outcome.DECLINED, Reason.NONE, "", "", 0, "", self._now_us))

    def _record(self, entry: Entry) -> None:
        self._recorded[entry.payment_id, entry.payer] = entry
        self.ledger.record(entry)


def _refuse(debit: Account | None, credit: Account | None, amount_minor: int, currency: str) -> Reason:
    """Say why this bank cannot promise its part; NONE if it can."""
    if debit is None:
        return Reason.PAYER_ACCOUNT_NOT_FOUND
    if credit is None:
        return Reason.PAYEE_ACCOUNT_NOT_FOUND
    if debit.currency != currency or credit.currency != currency:
        return Reason.CURRENCY_MISMATCH
    floor = 0 if debit.is_customer else -BALANCE_MAX
    if debit.posted - debit.held - amount_minor < floor:
        return Reason.INSUFFICIENT_FUNDS if debit.is_customer else Reason.BALANCE_LIMIT_EXCEEDED
    if credit.posted + credit.incoming + amount_minor > BALANCE_MAX:
        return Reason.BALANCE_LIMIT_EXCEEDED
    return Reason.NONE


def _vote(prepare: Prepare, kind: VoteKind, reason: Reason = Reason.NONE) -> Vote:
    return Vote(prepare.payment_id, prepare.payer, prepare.epoch, kind, reason)


def _contradict(decide: Decide, recorded: str) -> Contradiction:
    said = "commit" if decide.commit else "abort"
    return Contradiction(decide.payment_id, decide.payer, decide.epoch, said, recorded)
