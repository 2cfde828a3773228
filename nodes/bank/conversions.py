"""Between the wire's messages and the tuples of the rules: each field is read once."""

from collections.abc import Callable, Sequence

from interbank.v1 import bank_pb2 as pb

from nodes.bank.turn import Cut
from nodes.core.authority import Grant, is_rightful
from nodes.core.ledger import Entry, Hold
from nodes.core.messages import Contradiction, Decide, Outcome, Prepare, Reason, TransactionKey, Vote
from nodes.runtime.chain_messages import write_head


def read_prepares(request: pb.TransactRequest, find_grant: Callable[[str], Grant | None]) -> list[Prepare]:
    """Return the prepares of a message, each with whether it is rightful; all are of the message's epoch.

    ``find_grant`` says what a login is worth. Raises ValueError, as `read_decides` does, if
    the columns are not equally long.
    """
    said = request.prepares
    count = len(said.payment_ids)
    who = said.payment_ids, said.payers, [request.epoch] * count, said.payer_banks, said.payees, said.payee_banks
    judged = [None] * count, _judge(said, find_grant)
    columns = zip(*who, said.amounts_minor, said.currencies, *judged, strict=True)
    return list(map(Prepare._make, columns))


def _judge(said: pb.Prepares, find_grant: Callable[[str], Grant | None]) -> list[bool]:
    """Tell of each payment whether its payer ordered it."""
    grants = list(map(find_grant, said.logins))
    if said.login_numbers and max(said.login_numbers) >= len(grants):
        raise ValueError("a payment names a login that is not in the message")
    banks = said.payer_banks, said.payees, said.payee_banks
    fields = zip(said.payment_ids, said.payers, *banks, said.amounts_minor, said.currencies, strict=True)
    noted = zip(said.fingerprints, said.taken_at_us, said.login_numbers, strict=True)
    return [
        is_rightful(each, fingerprint, taken_at_us, grants[number])
        for each, (fingerprint, taken_at_us, number) in zip(fields, noted, strict=True)
    ]


def read_decides(decides: pb.Decides) -> list[Decide]:
    """Return the decisions of a message."""
    columns = decides.payment_ids, decides.payers, decides.epochs, decides.commits
    return list(map(Decide._make, zip(*columns, strict=True)))


def write_key(key: TransactionKey) -> pb.TransactionKey:
    """Name a transaction."""
    payment_id, payer, epoch = key
    return pb.TransactionKey(payment_id=payment_id, payer=payer, epoch=epoch)


def write_votes(votes: Sequence[Vote]) -> pb.Votes:
    """Say votes, in columns."""
    if not votes:
        return pb.Votes()
    payment_ids, payers, epochs, kinds, reasons = zip(*votes, strict=True)
    return pb.Votes(payment_ids=payment_ids, payers=payers, epochs=epochs, kinds=kinds, reasons=reasons)


def write_contradiction(contradiction: Contradiction) -> pb.Contradiction:
    """Say what cannot be true together."""
    payment_id, payer, epoch, said, recorded = contradiction
    return pb.Contradiction(transaction=write_key((payment_id, payer, epoch)), said=said, recorded=recorded)


def write_cut(cut: Cut, bank: str) -> pb.BankCut:
    """Say how the books of ``bank`` stood."""
    totals = [
        pb.CutTotals(currency=currency, paid_in_minor=clearing.paid_in, due_to_minor=clearing.due_to)
        for currency, clearing in sorted(cut.clearing.items())
    ]
    return pb.BankCut(
        number=cut.number, bank=bank, head=write_head(cut.head), totals=totals, in_doubt=cut.in_doubt
    )


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
