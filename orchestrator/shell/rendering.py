"""How results look: for people as text, for programs as one JSON object a command."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nodes.client import Balance, Item, PaymentView, State
from orchestrator.console.amounts import show_amount
from orchestrator.console.text_table import format_columns
from orchestrator.shell.session import Listed, LoggedIn, LoggedOut, NamedOnly, Outboxed, Result, Seen, Sent

_STATES = {
    State.NEVER_SENT: "never sent",
    State.UNKNOWN: "sent, answer unknown",
    State.COMMITTED: "paid",
    State.DECLINED: "failed",
    State.REFUSED: "refused",
    State.EXPIRED: "expired",
    State.CANCELLED: "cancelled",
}


def render_text(result: Result) -> list[str]:  # noqa: PLR0911 - one return a kind of result
    """Return the lines that people are shown."""
    match result:
        case LoggedIn(session, waiting):
            until = session.expires_at.astimezone().strftime("%H:%M")
            lines = [f"Logged in as {session.user} ({session.role}) until {until}."]
            return lines + (["These payments wait, and are sent now:", *_show_items(waiting)] if waiting else [])
        case NamedOnly(user):
            return [f"The gateway is away. What {user} pays is kept here, and sent when it is back."]
        case LoggedOut(user):
            return [f"Logged out {user}."]
        case Seen(balances):
            known = format_columns([_show_balance(balance) for balance in balances.balances])
            away = [f"{bank} is away; its balance is not known now." for bank in balances.unavailable_banks]
            return known + away or ["No accounts."]
        case Sent(item, trouble):
            return [describe_item(item, trouble)]
        case Listed(user, payments):
            return _show_payments(payments, user) if payments else ["No payments."]
        case Outboxed(items):
            return _show_items(items) if items else ["The outbox is empty."]


def render_json(result: Result) -> dict[str, Any]:  # noqa: PLR0911 - one return a kind of result
    """Return what programs are given; amounts in minor units, times in UTC."""
    match result:
        case LoggedIn(session, waiting):
            return {
                "user": session.user,
                "role": session.role,
                "expires_at": _utc(session.expires_at),
                "waiting": [_item_fields(item) for item in waiting],
            }
        case NamedOnly(user):
            return {"user": user, "gateway": "away"}
        case LoggedOut(user):
            return {"user": user, "logged_out": True}
        case Seen(balances):
            fields = [
                {name: getattr(balance, name) for name in Balance.__slots__} for balance in balances.balances
            ]
            return {"balances": fields, "unavailable_banks": list(balances.unavailable_banks)}
        case Sent(item, trouble):
            return {"payment": _item_fields(item), "trouble": trouble}
        case Listed(_, payments):
            return {"payments": [_payment_fields(view) for view in payments]}
        case Outboxed(items):
            return {"outbox": [_item_fields(item) for item in items]}


def describe_item(item: Item, trouble: str = "") -> str:
    """Say in a sentence how a payment stands, and what it waits for."""
    request = item.request
    what = f"{show_amount(request.amount_minor, request.currency)} to {request.payee_account}"
    payment_id = request.payment_id
    match item.state:
        case State.COMMITTED:
            return f"Paid {what} from {request.payer_account}.  {payment_id}"
        case State.NEVER_SENT:
            return f"Queued as {payment_id}, {what}: {_describe_wait(trouble)}"
        case State.UNKNOWN:
            why = f" ({trouble})" if trouble else ""
            return f"Sent, answer unknown: {payment_id}, {what}{why}; asking again."
        case State.CANCELLED:
            return f"Cancelled {what}.  {payment_id}"
        case _:
            return f"Not paid, {what}: {_STATES[item.state]}: {item.reason.replace('_', ' ')}.  {payment_id}"


def _describe_wait(trouble: str) -> str:
    if trouble.endswith("is away"):
        return f"{trouble}; it will be sent when it is back."
    return f"{trouble or 'others are sent before it'}; it will be sent after that."


def _show_balance(balance: Balance) -> tuple[str, str, str]:
    held = f"({show_amount(balance.held_minor, balance.currency)} held)" if balance.held_minor else ""
    return balance.account, show_amount(balance.available_minor, balance.currency), held


def _show_payments(payments: Sequence[PaymentView], user: str) -> list[str]:
    head = ("TIME", "ID", "DIRECTION", "COUNTERPARTY", "AMOUNT", "OUTCOME", "MEMO")
    return format_columns([head, *(_show_payment(view, user) for view in payments)])


def _show_payment(view: PaymentView, user: str) -> tuple[str, ...]:
    is_incoming = view.direction == "incoming"
    counterparty = view.payer_account if is_incoming else view.payee_account
    own = view.payee_account if is_incoming else view.payer_account
    outcome = {"committed": "paid", "declined": f"failed: {view.reason.replace('_', ' ')}"}.get(
        view.outcome, "pending"
    )
    direction = {"incoming": "in to", "outgoing": "out of"}.get(view.direction, "own, from")
    return (
        _local(view.decided_at or view.created_at),
        view.payment_id,
        f"{direction} {own.partition('@')[2] if own.startswith(f'{user}@') else own}",
        counterparty,
        show_amount(view.amount_minor, view.currency),
        outcome,
        view.memo,
    )


def _show_items(items: Sequence[Item]) -> list[str]:
    rows = [
        (
            _local(datetime.fromtimestamp(item.saved_at).astimezone()),
            item.request.payment_id,
            f"to {item.request.payee_account} from {item.request.payer_account}",
            show_amount(item.request.amount_minor, item.request.currency),
            _STATES[item.state] + (f": {item.reason.replace('_', ' ')}" if item.reason else ""),
        )
        for item in items
    ]
    return format_columns(rows)


def _item_fields(item: Item) -> dict[str, Any]:
    request = item.request
    return {
        **{name: getattr(request, name) for name in type(request).__slots__},
        "state": item.state.name.lower(),
        "reason": item.reason,
    }


def _payment_fields(view: PaymentView) -> dict[str, Any]:
    fields = {name: getattr(view, name) for name in PaymentView.__slots__}
    times = {name: _utc(fields[name]) for name in ("created_at", "decided_at") if fields[name] is not None}
    return {**fields, **times}


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
