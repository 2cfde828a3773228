"""Between the wire's messages and the tuples of chains, cuts and holds: what auditors are shown."""

from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import HASH_BYTES, Head
from nodes.core.ledger import Hold
from nodes.core.settlement import Clearing
from nodes.core.soundness import EPOCH_MAX, Unsound


def write_head(head: Head) -> pb.ChainHead:
    """Say a link."""
    return pb.ChainHead(number=head.number, last_sequence=head.last_sequence, hash=head.hash)


def read_head(head: pb.ChainHead) -> Head:
    """Return a link; raises `nodes.core.soundness.Unsound`."""
    if len(head.hash) != HASH_BYTES or max(head.number, head.last_sequence) > EPOCH_MAX:
        raise Unsound(f"head: must have a hash of {HASH_BYTES} bytes, and numbers up to {EPOCH_MAX}")
    return Head(head.number, head.last_sequence, head.hash)


def read_clearing(cut: pb.BankCut) -> dict[str, Clearing]:
    """Return a bank's own accounts at the moment of a cut, by currency."""
    return {totals.currency: Clearing(totals.paid_in_minor, dict(totals.due_to_minor)) for totals in cut.totals}


def write_hold_record(hold: Hold) -> pb.HoldRecord:
    """Show what is held, and for which transaction."""
    payment_id, payer, epoch, debit_account, credit_account, amount_minor, currency, at_us = hold
    return pb.HoldRecord(
        key=pb.TransactionKey(payment_id=payment_id, payer=payer, epoch=epoch),
        debit_account=debit_account,
        credit_account=credit_account,
        amount_minor=amount_minor,
        currency=currency,
        at_us=at_us,
    )
