"""Between the wire's messages and the tuples of the rules: each field is read once."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import bank_pb2, payment_pb2

from nodes.core.messages import Decide, Decision, Outcome, Payment, Prepare, Reason, TransactionKey, Vote, VoteKind
from nodes.core.violations import format_payment_id, parse_payment

_VOTE_KINDS = {kind.value: kind for kind in VoteKind}
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


def read_votes(votes: Iterable[bank_pb2.Vote]) -> list[Vote]:
    """Return the votes of a message; a kind or reason that is unknown here counts as a plain no."""
    return [
        Vote(
            vote.payment_id,
            vote.payer,
            vote.epoch,
            _VOTE_KINDS.get(vote.vote, VoteKind.NO),
            _REASONS.get(vote.reason, Reason.ABORTED_BY_BANK),
        )
        for vote in votes
    ]


def read_keys(keys: Iterable[bank_pb2.TransactionKey]) -> list[TransactionKey]:
    """Return what a bank holds in doubt."""
    return [(key.payment_id, key.payer, key.epoch) for key in keys]


def write_prepare(prepare: Prepare) -> bank_pb2.Prepare:
    """Say a prepare; its epoch is the message's."""
    payment_id, payer, _, payer_bank, payee, payee_bank, amount_minor, currency = prepare
    return bank_pb2.Prepare(
        payment_id=payment_id,
        payer=payer,
        payer_bank=payer_bank,
        payee=payee,
        payee_bank=payee_bank,
        amount_minor=amount_minor,
        currency=currency,
    )


def write_decide(decide: Decide) -> bank_pb2.Decide:
    """Say a decision."""
    payment_id, payer, epoch, commit = decide
    return bank_pb2.Decide(payment_id=payment_id, payer=payer, epoch=epoch, commit=commit)


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
        memo=payment.memo,
        direction=_direction(payment, user),
        created_at=write_time(created_at_us),
    )


def _direction(payment: Payment, user: str) -> payment_pb2.Direction.ValueType:
    if payment.payer == payment.payee:
        return payment_pb2.DIRECTION_BETWEEN_OWN_ACCOUNTS
    return payment_pb2.DIRECTION_OUTGOING if user == payment.payer else payment_pb2.DIRECTION_INCOMING
