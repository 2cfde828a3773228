"""Between the wire's messages and the tuples of the rules: each field is read once."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import bank_pb2, payment_pb2

from nodes.core.authority import Authority
from nodes.core.messages import (
    LOST_MEMO,
    Decide,
    Decision,
    Outcome,
    Payment,
    Prepare,
    Reason,
    TransactionKey,
    Vote,
    VoteKind,
)
from nodes.core.violations import format_payment_id, parse_payment

_VOTE_KINDS = {kind.value: kind for kind in VoteKind}
_NONE = Authority("", 0, 0)
_REASONS = {reason.value: reason for reason in Reason}


def read_payment(request: payment_pb2.PayRequest) -> Payment:
    """Return what a request asks for; raises `nodes.core.violations.Malformed`."""
    return parse_payment(
        request.payment_id,
        (request.payer_account, request.payee_account),
        request.amount_minor,
        request.currency,
        request.memo,
    )


def read_votes(votes: bank_pb2.Votes) -> list[Vote]:
    """Return the votes of a message; a kind or reason that is unknown here counts as a plain no.

    Raises ConnectionError if the columns are not equally long: whoever sends that is no bank of ours.
    """
    kinds = [_VOTE_KINDS.get(kind, VoteKind.NO) for kind in votes.kinds]
    reasons = [_REASONS.get(reason, Reason.ABORTED_BY_BANK) for reason in votes.reasons]
    try:
        columns = zip(votes.payment_ids, votes.payers, votes.epochs, kinds, reasons, strict=True)
        return list(map(Vote._make, columns))
    except ValueError as error:
        raise ConnectionError(f"the bank's votes are torn: {error}") from error


def read_keys(keys: Iterable[bank_pb2.TransactionKey]) -> list[TransactionKey]:
    """Return what a bank holds in doubt."""
    return [(key.payment_id, key.payer, key.epoch) for key in keys]


def write_prepares(prepares: Sequence[Prepare]) -> bank_pb2.Prepares:
    """Say prepares, in columns; their epoch is the message's.

    Whoever has no authority is said to have an empty one: banks will vote no.
    """
    payment_ids, payers, _, payer_banks, payees, payee_banks, amounts_minor, currencies, authorities, _ = _columns(
        prepares, 10
    )
    logins, fingerprints, taken_at_us = _columns([each or _NONE for each in authorities], 3)
    numbers = {login: number for number, login in enumerate(dict.fromkeys(logins))}
    return bank_pb2.Prepares(
        logins=numbers,
        login_numbers=map(numbers.__getitem__, logins),
        fingerprints=fingerprints,
        taken_at_us=taken_at_us,
        payment_ids=payment_ids,
        payers=payers,
        payer_banks=payer_banks,
        payees=payees,
        payee_banks=payee_banks,
        amounts_minor=amounts_minor,
        currencies=currencies,
    )


def write_decides(decides: Sequence[Decide]) -> bank_pb2.Decides:
    """Say decisions, in columns."""
    payment_ids, payers, epochs, commits = _columns(decides, 4)
    return bank_pb2.Decides(payment_ids=payment_ids, payers=payers, epochs=epochs, commits=commits)


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> Iterable[tuple[Any, ...]]:
    return zip(*rows, strict=True) if rows else ((),) * count


def write_time(at_us: int) -> Timestamp:
    """Say a wall time given in microseconds since 1970."""
    return Timestamp(seconds=at_us // 1_000_000, nanos=at_us % 1_000_000 * 1000)


def write_decision(decision: Decision, user: str) -> payment_pb2.Payment:
    """Show a payment that has ended, as ``user`` sees it."""
    shown = _write_payment(decision.payment, user, decision.created_at_us)
    shown.outcome = decision.outcome.value  # type: ignore[assignment]
    shown.reason = decision.reason.value  # type: ignore[assignment]
    shown.decided_at.CopyFrom(write_time(decision.decided_at_us))
    return shown


def write_open_payment(payment: Payment, user: str, created_at_us: int) -> payment_pb2.Payment:
    """Show a payment that is under way, as ``user`` sees it."""
    shown = _write_payment(payment, user, created_at_us)
    shown.outcome = Outcome.PENDING.value  # type: ignore[assignment]
    return shown


def _write_payment(payment: Payment, user: str, created_at_us: int) -> payment_pb2.Payment:
    return payment_pb2.Payment(
        payment_id=format_payment_id(payment.payment_id),
        payer_account=f"{payment.payer}@{payment.payer_bank}",
        payee_account=f"{payment.payee}@{payment.payee_bank}",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        memo="" if payment.memo == LOST_MEMO else payment.memo,
        direction=_direction(payment, user),
        created_at=write_time(created_at_us),
    )


def _direction(payment: Payment, user: str) -> payment_pb2.Direction.ValueType:
    if payment.payer == payment.payee:
        return payment_pb2.DIRECTION_BETWEEN_OWN_ACCOUNTS
    return payment_pb2.DIRECTION_OUTGOING if user == payment.payer else payment_pb2.DIRECTION_INCOMING
