"""Between the wire's messages and the tuples of the rules: each field is read once."""

from collections.abc import Iterable

from interbank.v1 import bank_pb2 as pb

from nodes.core.ledger import Entry, Hold
from nodes.core.messages import Contradiction, Decide, Outcome, Prepare, Reason, TransactionKey, Vote


def read_prepares(request: pb.TransactRequest) -> list[Prepare]:
    """Return the prepares of a message; all are of the message's epoch."""
    epoch = request.epoch
    return [
        Prepare(p.payment_id, p.payer, epoch, p.payer_bank, p.payee, p.payee_bank, p.amount_minor, p.currency)
        for p in request.prepares
    ]


def read_decides(decides: Iterable[pb.Decide]) -> list[Decide]:
    """Return the decisions of a message."""
    return [Decide(d.payment_id, d.payer, d.epoch, d.commit) for d in decides]


def write_key(key: TransactionKey) -> pb.TransactionKey:
    """Name a transaction."""
    payment_id, payer, epoch = key
    return pb.TransactionKey(payment_id=payment_id, payer=payer, epoch=epoch)


def write_vote(vote: Vote) -> pb.Vote:
    """Say a vote."""
    payment_id, payer, epoch, kind, reason = vote
    return pb.Vote(payment_id=payment_id, payer=payer, epoch=epoch, vote=kind.value, reason=reason.value)  # type: ignore[arg-type]


def write_contradiction(contradiction: Contradiction) -> pb.Contradiction:
    """Say what cannot be true together."""
    payment_id, payer, epoch, said, recorded = contradiction
    return pb.Contradiction(transaction=write_key((payment_id, payer, epoch)), said=said, recorded=recorded)


def write_hold(hold: Hold) -> pb.BankTransaction:
    """Show a transaction in doubt."""
    return pb.BankTransaction(
        key=write_key((hold.payment_id, hold.payer, hold.epoch)),
        state=pb.TRANSACTION_STATE_PREPARED,
        at_us=hold.at_us,
    )


def write_entry(entry: Entry) -> pb.BankTransaction:
    """Show how a transaction ended here."""
    is_committed = entry.outcome is Outcome.COMMITTED
    return pb.BankTransaction(
        key=write_key((entry.payment_id, entry.payer, entry.epoch)),
        state=pb.TRANSACTION_STATE_COMMITTED if is_committed else pb.TRANSACTION_STATE_ABORTED,
        reason=Reason(entry.reason).value,  # type: ignore[arg-type]
        at_us=entry.at_us,
    )
