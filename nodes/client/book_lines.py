"""Reads the records of running nodes for an audit: a consistent cut, then page after page of what each node shows.

Nothing is held up by it: records are written once, so that pages which are read later
are those of the cut, too.
"""

from collections.abc import Iterator, Mapping

from interbank.v1 import audit_pb2 as pb
from interbank.v1 import bank_pb2

from nodes.client.client import AuditLine, BankInspector, OperatorClient
from nodes.core.books import BankBooks, Chain, GatewayBooks
from nodes.core.chain import Head, Heard
from nodes.core.ledger import Account, Entry, Hold
from nodes.core.messages import Contradiction, Decision, Outcome, Payment, Reason
from nodes.core.resolution import Resolution


def read_books(
    gateway: OperatorClient, banks: Mapping[str, BankInspector]
) -> tuple[GatewayBooks, list[BankBooks]]:
    """Take a cut and return all records of that moment; raises `nodes.client.ClientError`."""
    cut = gateway.take_cut(keep_books=True)
    pages = list(gateway.standing(cut.cut))
    contradictions = [
        Contradiction(*_read_key(found.transaction), found.said, found.recorded)
        for page in pages
        for found in page.contradictions
    ]
    resolutions = [
        Resolution(*_read_key(each.key), each.commit, each.who, each.why, each.at_us)
        for page in pages
        for each in page.resolutions
    ]
    head = Head(cut.head.number, cut.head.last_sequence, cut.head.hash)
    opened = GatewayBooks(
        cut.epoch, lambda: _decisions(gateway, head), contradictions, resolutions, _read_chain(gateway, head)
    )
    return opened, [_read_bank(banks[each.bank], cut.cut, each) for each in cut.banks]


def _read_bank(bank: BankInspector, cut: int, stood: bank_pb2.BankCut) -> BankBooks:
    head = Head(stood.head.number, stood.head.last_sequence, stood.head.hash)
    pages = list(bank.standing(cut))
    return BankBooks(
        name=stood.bank,
        accounts=[_read_account(account) for page in pages for account in page.accounts],
        holds=[_read_hold(hold) for page in pages for hold in page.holds],
        entries=lambda: _entries(bank, head),
        chain=_read_chain(bank, head),
    )


def _read_chain(line: AuditLine, head: Head) -> Chain:
    def links() -> Iterator[Head]:
        for page in line.links(head.number):
            for link in page.links:
                yield Head(link.number, link.last_sequence, link.hash)

    heard = [
        (told.link, Heard(told.node, told.number, told.hash))
        for page in line.links(head.number)
        for told in page.heard
    ]
    return Chain(links, heard)


def _decisions(gateway: OperatorClient, head: Head) -> Iterator[Decision]:
    for page in gateway.records(head.last_sequence):
        for d in page.decisions:
            payment_id, payer, epoch = _read_key(d.key)
            payment = Payment(
                payment_id, payer, d.payer_bank, d.payee, d.payee_bank, d.amount_minor, d.currency, d.memo
            )
            outcome, reason = Outcome(d.outcome), Reason(d.reason)
            yield Decision(d.sequence, epoch, payment, outcome, reason, d.created_at_us, d.decided_at_us)


def _entries(bank: BankInspector, head: Head) -> Iterator[tuple[int, Entry]]:
    for page in bank.records(head.last_sequence):
        for e in page.entries:
            payment_id, payer, epoch = _read_key(e.key)
            outcome, reason = Outcome(e.outcome), Reason(e.reason)
            moved = e.debit_account, e.credit_account, e.amount_minor, e.currency
            # An opening has no payment, on disk as well.
            yield e.sequence, Entry(payment_id or None, payer, epoch, outcome, reason, *moved, e.at_us)  # type: ignore[arg-type]


def _read_key(key: bank_pb2.TransactionKey) -> tuple[bytes, str, int]:
    return key.payment_id, key.payer, key.epoch


def _read_account(account: pb.AccountRecord) -> Account:
    sums = account.posted_minor, account.held_minor, account.incoming_minor
    return Account(account.name, account.currency, *sums)


def _read_hold(hold: bank_pb2.HoldRecord) -> Hold:
    payment_id, payer, epoch = _read_key(hold.key)
    moved = hold.debit_account, hold.credit_account, hold.amount_minor, hold.currency
    return Hold(payment_id, payer, epoch, *moved, hold.at_us)
