"""What happened to one payment, in one timeline of all that has a record of it, and why it ended so.

Reads what was gathered (`orchestrator.inspection.tracing`), asks nobody. Times are microseconds since
1970, of each node's own clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from interbank.v1 import bank_pb2

from nodes.client import Item, State
from nodes.core.messages import Outcome, Reason
from orchestrator.console.amounts import show_amount
from orchestrator.inspection.log_lines import LogLine

_TROUBLE = ("exited", "kill", "backoff", "fatal", "not-ready", "chaos", "fault", "stopped")
"""Events of the supervisor that may be why a node did not answer."""
_THAWED = "chaos: resumed"
"""The one act of chaos that ends trouble."""
_AROUND_US = 1_000_000
"""What happened to nodes so long before and after a payment is shown with it."""
_IN_DOUBT, _POSTED = bank_pb2.TRANSACTION_STATE_PREPARED, bank_pb2.TRANSACTION_STATE_COMMITTED


class Moment(NamedTuple):
    """One line of the timeline."""

    at_us: int
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one user's payment; whoever could not be asked is in ``silent``, with the reason."""

    payment_id: str
    item: Item | None = None
    trace: Any = None
    """The gateway's `PaymentTrace`; None if the gateway knows nothing."""
    banks: Sequence[Any] = ()
    """A `BankTrace` of each bank that has it on record."""
    silent: dict[str, str] = field(default_factory=dict)
    lines: Sequence[LogLine] = ()
    """Lines of any log that name the payment."""
    events: Sequence[LogLine] = ()
    """What the supervisor did, and when the gateway lost or met a bank."""


def make_timeline(evidence: Evidence) -> list[Moment]:
    """Return all moments of a payment, oldest first, with what happened to its nodes meanwhile."""
    moments = [*_of_client(evidence.item), *_of_gateway(evidence.trace), *_of_banks(evidence.banks)]
    moments += filter(None, map(_of_line, evidence.lines))
    if not moments:
        return []
    first, last = min(moments)[0] - _AROUND_US, max(moments)[0] + _AROUND_US
    is_decided = evidence.trace is not None and evidence.trace.payment.outcome != Outcome.PENDING
    is_over = is_decided or bool(_find_end(evidence))
    events = sorted(map(_of_event, evidence.events))
    moments += [event for event in events if first <= event.at_us and (event.at_us <= last or not is_over)]
    # How the nodes were when it began.
    before = {event.who: event for event in events if event.at_us < first}
    return sorted({*moments, *filter(_is_trouble, before.values())})


def conclude(evidence: Evidence) -> str:
    """Say in one sentence why the payment ended as it did, or what it waits for."""
    if evidence.trace is None:
        return _conclude_without_decision(evidence)
    payment = evidence.trace.payment
    if payment.outcome == Outcome.COMMITTED:
        waiting = [bank.bank for bank in evidence.banks if _has(bank, _IN_DOUBT)]
        late = f"; {_and(waiting)} will post it when it hears, {_trouble_of(evidence, waiting)}" if waiting else ""
        return f"It was paid: each of its banks promised its part, and the gateway decided to commit{late}."
    if payment.outcome == Outcome.DECLINED:
        return f"It was not paid: {_why_declined(evidence)}."
    voted = [bank.bank for bank in evidence.banks if _has(bank, _IN_DOUBT)]
    missing = [bank for bank in _banks_of(payment) if bank not in voted]
    return f"It is under way: the vote of {_and(missing)} is missing, {_trouble_of(evidence, missing)}."


# -- why ------------------------------------------------------------------------


def _conclude_without_decision(evidence: Evidence) -> str:
    item = evidence.item
    why = evidence.silent.get("gateway")
    away = f", since the gateway cannot be asked ({why})" if why else ""
    if end := _find_end(evidence):
        return f"{end}{_silence_of(why)}."
    held = [bank.bank for bank in evidence.banks if _has(bank, _IN_DOUBT)]
    if held:
        return f"It is in doubt: {_and(held)} voted yes, and will do as the gateway decides{away}."
    if item is None:
        return f"What became of it cannot be told{away}." if away else "No attempt to pay it is on record."
    if item.state is State.NEVER_SENT:
        return f"It has not been sent: it waits in the outbox{away}."
    if item.state is State.UNKNOWN:
        said = "the client asks again until the gateway answers"
        return f"It was sent and its outcome is not known to the client{away}; {said}."
    why = f" ({item.reason})" if item.reason else ""
    return f"It was not begun: the client's outbox has it as {item.state.name.lower()}{why}."


def _find_end(evidence: Evidence) -> str:
    """Say how it ended, if a bank or the client knows that without the gateway; else nothing."""
    posted = [bank.bank for bank in evidence.banks if _has(bank, _POSTED)]
    if posted:
        return f"It was paid: {_and(posted)} posted it, which the gateway alone can have decided"
    item = evidence.item
    if item is None or item.state not in (State.COMMITTED, State.DECLINED):
        return ""
    how = "paid" if item.state is State.COMMITTED else f"not paid ({item.reason.replace('_', ' ')})"
    return f"It was {how}: the client was told so, which is final"


def _silence_of(why: str | None) -> str:
    """Say why the gateway's word is missing of what is final."""
    if why:
        return f"; the gateway cannot be asked ({why})"
    return "; the gateway has no record of it, as if its file were an old copy: see `cluster audit`"


def _why_declined(evidence: Evidence) -> str:
    payment = evidence.trace.payment
    payer_bank, payee_bank = _banks_of(payment)[0], _banks_of(payment)[-1]
    amount = show_amount(payment.amount_minor, payment.currency)
    if payment.reason == Reason.BANK_UNAVAILABLE:
        return f"not all votes came before its deadline, {_trouble_of(evidence, _banks_of(payment))}"
    reasons = {
        Reason.INSUFFICIENT_FUNDS: f"{payer_bank} found less than {amount} available on {payment.payer_account}",
        Reason.PAYER_ACCOUNT_NOT_FOUND: f"{payer_bank} has no account {payment.payer_account}",
        Reason.PAYEE_ACCOUNT_NOT_FOUND: f"{payee_bank} has no account {payment.payee_account}",
        Reason.CURRENCY_MISMATCH: f"an account is not kept in {payment.currency}",
        Reason.BALANCE_LIMIT_EXCEEDED: "a balance would have passed the largest that can be kept",
        Reason.ABORTED_BY_BANK: "a bank had recorded before that this try is aborted",
        Reason.NOT_AUTHORIZED: f"a bank found no login of {payment.payer_account} behind it",
    }
    return reasons.get(payment.reason, f"the reason has the number {payment.reason}")


def _trouble_of(evidence: Evidence, banks: Iterable[str]) -> str:
    """Say what was seen of these banks; the last of it that tells of trouble."""
    wanted = set(banks)
    silent = [f"{bank} cannot be asked: {why}" for bank, why in evidence.silent.items() if bank in wanted]
    found = [
        f"{moment.who}: {moment.what}"
        for moment in make_timeline(evidence)
        if any(bank in (moment.who, moment.what.partition(" ")[0]) for bank in wanted) and _is_trouble(moment)
    ]
    return (found or silent or ["and nothing is on record of why"])[0]


def _is_trouble(moment: Moment) -> bool:
    is_of_node = moment.what.startswith(_TROUBLE) and not moment.what.startswith(_THAWED)
    return is_of_node or " is away: " in moment.what


def _banks_of(payment: Any) -> list[str]:
    names = [account.rpartition("@")[2] for account in (payment.payer_account, payment.payee_account)]
    return list(dict.fromkeys(names))


def _has(bank: Any, state: int) -> bool:
    return any(known.state == state for known in bank.transactions)


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


# -- moments --------------------------------------------------------------------


def _of_client(item: Item | None) -> list[Moment]:
    if item is None:
        return []
    request = item.request
    amount = show_amount(request.amount_minor, request.currency)
    what = f"saved in the outbox: {amount} from {request.payer_account} to {request.payee_account}"
    return [Moment(int(item.saved_at * 1_000_000), "client", what)]


def _of_gateway(trace: Any) -> list[Moment]:
    if trace is None:
        return []
    payment = trace.payment
    asked = f"begun in epoch {trace.epoch}: {_and(_banks_of(payment))} asked to promise"
    moments = [Moment(payment.created_at.ToMicroseconds(), "gateway", asked)]
    if payment.outcome != Outcome.PENDING:
        moments.append(
            Moment(payment.decided_at.ToMicroseconds(), "gateway", f"decided: {describe_outcome(payment)}")
        )
    return moments


def _of_banks(banks: Sequence[Any]) -> list[Moment]:
    return [
        Moment(known.at_us, bank.bank, _describe_known(known)) for bank in banks for known in bank.transactions
    ]


def _describe_known(known: Any) -> str:
    if known.state == _IN_DOUBT:
        return f"voted yes in epoch {known.key.epoch}: the amount is held, the decision not known here"
    if known.state == _POSTED:
        return "posted"
    return f"refused: {Reason(known.reason).name.lower()}" if known.reason else "recorded the abort"


def _of_line(line: LogLine) -> Moment | None:
    fields = line.fields
    rpc = str(fields.get("rpc", "")).rpartition("/")[2]
    who = "client" if line.node == "shell" else line.node
    at_us = _microseconds(line.time)
    match fields.get("event"):
        case "request" | "call" if rpc == "Pay":
            return Moment(at_us, who, "sent to the gateway" if who == "client" else "asked to pay")
        case "response" | "answer" if rpc == "Pay":
            heard = str(fields.get("outcome", fields.get("code"))).removeprefix("OUTCOME_").lower()
            more = f": {fields['details']}" if fields.get("details") else ""
            return Moment(at_us, who, f"{'heard' if who == 'client' else 'answered'} {heard}{more}")
        case "contradiction":
            return Moment(
                at_us, who, f"contradiction: {fields.get('said')}; on record is: {fields.get('recorded')}"
            )
    return None


def _of_event(line: LogLine) -> Moment:
    fields, who = line.fields, line.node
    bank = fields.get("bank")
    match fields.get("event"):
        case "bank_away":
            what = f"{bank} is away: {fields.get('details')}"
        case "bank_connected":
            what = f"{bank} has connected, {fields.get('in_doubt')} in doubt there"
        case "started" if who != "supervisor":
            what = f"started in epoch {fields.get('epoch')}"
        case event:
            who, text = str(fields.get("node") or "supervisor"), fields.get("text")
            what = f"{event}: {text}" if text else str(event)
    return Moment(_microseconds(line.time), who, what)


def describe_outcome(payment: Any) -> str:
    """Say how a payment stands, with the reason if it was declined."""
    outcome = Outcome(payment.outcome).name.lower()
    return f"{outcome} ({Reason(payment.reason).name.lower()})" if payment.reason else outcome


def _microseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1_000_000)
