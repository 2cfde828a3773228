"""Which rows of the state tables were reached: those at the top of coordinator.py and participant.py.

Only the first event of a turn is looked at, and of a message its first item: the state
that it meets is the one before the turn, which can be seen from outside.
"""

from collections import Counter

from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.core.coordinator import Coordinator
from nodes.core.ledger import Ledger
from nodes.core.messages import Outcome, Payment, PaymentKey, TransactionKey, Vote, VoteKind
from nodes.gateway import turn as gateway_turn
from nodes.gateway.store import GatewayStore

COORDINATOR_ROWS = (
    "begin: nothing known -> open",
    "begin: nothing known, a bank is away",
    "begin: nothing known, no such bank",
    "begin: nothing known, too many are open",
    "begin: open, the same again -> joins",
    "begin: open, another body -> refused",
    "begin: committed, the same again -> replayed",
    "begin: committed, another body -> refused",
    "begin: declined, the same again -> replayed",
    "begin: declined, another body -> refused",
    "vote: yes, others are out",
    "vote: yes, the last one -> committed",
    "vote: no -> declined",
    "vote: repeated, or not asked for",
    "vote: nothing is open",
    "vote: open, of an older epoch",
    "deadline -> declined",
    "inquiry: committed in that epoch -> commit",
    "inquiry: declined in that epoch -> abort",
    "inquiry: decided in another epoch -> abort",
    "inquiry: open -> left out",
    "inquiry: open, of an older epoch -> abort",
    "inquiry: nothing known -> abort",
    "connect: nothing in doubt",
    "connect: something in doubt",
    "connect: a missing vote is asked for again",
    "disconnect",
)
_KNOWN = (
    "nothing",
    "held, m = e",
    "held, m > e",
    "held, m < e",
    "aborted, m = e",
    "aborted, m > e",
    "aborted, m < e",
)
PARTICIPANT_ROWS = (
    *(f"prepare: {known}" for known in (*_KNOWN, "committed, m = e", "committed, m < e")),
    *(f"abort: {known}" for known in (*_KNOWN, "committed, m < e")),
    *(f"commit: {known}" for known in ("held, m = e", "committed, m = e")),
)
ROWS = (*COORDINATOR_ROWS, *PARTICIPANT_ROWS)
"""What can be met. All other rows are contradictions, which only a lost disk could bring about."""


class Coverage(Counter[str]):
    """How often each row was reached; nothing is counted unless ``is_on``."""

    is_on = False

    def look_at_gateway(
        self, rules: Coordinator, store: GatewayStore, events: list[gateway_turn.Event], now_ms: int
    ) -> None:
        """Count the row that a turn's first event meets; call it before the turn."""
        if not self.is_on:
            return
        match events[0] if events else None:
            case None:
                deadline_ms = rules.next_deadline_ms()
                if deadline_ms is not None and deadline_ms <= now_ms:
                    self["deadline -> declined"] += 1
            case gateway_turn.Begin(payment, _):
                self["begin: " + _describe_begin(rules, store, payment)] += 1
            case gateway_turn.Voted(bank, [vote, *_], _):
                self["vote: " + _describe_vote(rules, bank, vote)] += 1
            case gateway_turn.Inquiry(_, [transaction, *_], _):
                self["inquiry: " + _describe_inquiry(rules, store, transaction)] += 1
            case gateway_turn.Connected(bank, in_doubt):
                self[f"connect: {'something' if in_doubt else 'nothing'} in doubt"] += 1
                if any(opened.awaits(bank) for opened in rules.open.values()):
                    self["connect: a missing vote is asked for again"] += 1
            case gateway_turn.Disconnected():
                self["disconnect"] += 1

    def look_at_bank(self, ledger: Ledger, store: BankStore, events: list[bank_turn.Event]) -> None:
        """Count the row that a turn's first message meets; call it before the turn."""
        if not self.is_on:
            return
        match events[0]:
            case bank_turn.Received(_, [decide, *_]):
                known = _describe_known(ledger, store, decide[:2], decide.epoch)
                self[f"{'commit' if decide.commit else 'abort'}: {known}"] += 1
            case bank_turn.Received([prepare, *_], _):
                known = _describe_known(ledger, store, prepare[:2], prepare.epoch)
                self[f"prepare: {known}"] += 1


def _describe_begin(rules: Coordinator, store: GatewayStore, payment: Payment) -> str:
    decision = store.find_decisions([payment.key]).get(payment.key)
    opened = rules.open.get(payment.key)
    if decision is not None:
        outcome = decision.outcome.name.lower()
        is_same = decision.payment == payment
        return f"{outcome}, the same again -> replayed" if is_same else f"{outcome}, another body -> refused"
    if opened is not None:
        return "open, the same again -> joins" if opened.payment == payment else "open, another body -> refused"
    connected = [rules.connected.get(bank) for bank in payment.banks]
    if None in connected:
        return "nothing known, no such bank"
    if not all(connected):
        return "nothing known, a bank is away"
    fullest = max(sum(bank in opened.banks for opened in rules.open.values()) for bank in payment.banks)
    is_full = len(rules.open) >= rules._capacity or fullest >= rules._bank_capacity
    return "nothing known, too many are open" if is_full else "nothing known -> open"


def _describe_vote(rules: Coordinator, bank: str, vote: Vote) -> str:
    opened = rules.open.get((vote.payment_id, vote.payer))
    if opened is None:
        return "nothing is open"
    if vote.epoch != rules.epoch:
        return "open, of an older epoch"
    if not opened.awaits(bank):
        return "repeated, or not asked for"
    if vote.kind is not VoteKind.YES:
        return "no -> declined"
    are_others_out = any(other != bank and opened.awaits(other) for other in opened.payment.banks)
    return "yes, others are out" if are_others_out else "yes, the last one -> committed"


def _describe_inquiry(rules: Coordinator, store: GatewayStore, transaction: TransactionKey) -> str:
    key, epoch = transaction[:2], transaction[2]
    decision = store.find_decisions([key]).get(key)
    if decision is not None:
        if decision.epoch != epoch:
            return "decided in another epoch -> abort"
        said = "commit" if decision.is_committed else "abort"
        return f"{decision.outcome.name.lower()} in that epoch -> {said}"
    if key in rules.open:
        return "open -> left out" if epoch == rules.epoch else "open, of an older epoch -> abort"
    return "nothing known -> abort"


def _describe_known(ledger: Ledger, store: BankStore, key: PaymentKey, epoch: int) -> str:
    hold = ledger.holds.get(key)
    entry = store.find_entries([key]).get(key)
    known = hold or entry
    if known is None:
        return "nothing"
    state = "held" if hold else "committed" if entry and entry.outcome is Outcome.COMMITTED else "aborted"
    relation = "=" if epoch == known.epoch else ">" if epoch > known.epoch else "<"
    return f"{state}, m {relation} e"
