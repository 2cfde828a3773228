"""Reads the records of running nodes for an audit: a consistent cut, then page after page of what each node shows.

Nothing is held up by it: records are written once, so that pages which are read later
are those of the cut, too; and what is written after the cut is not read at all. Each page
is asked for once, however often the audit goes through it: a node under load is
slow to answer. All nodes are read at the same time.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from interbank.v1 import audit_pb2 as pb
from interbank.v1 import bank_pb2, operator_pb2

from nodes.client.client import AuditLine, BankInspector, OperatorClient
from nodes.client.errors import CutGone, NotFound
from nodes.client.spool import Spool
from nodes.core.books import BankBooks, Chain, GatewayBooks, Page
from nodes.core.chain import Head, Heard
from nodes.core.ledger import Account, Hold
from nodes.core.messages import Contradiction
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution
from nodes.core.visible_text import make_visible
from nodes.runtime.columns import read_columns

_CUTS_TRIED = 5


class _Read(NamedTuple):
    """All that a node showed."""

    standing: list[pb.ReadStandingResponse]
    records: Spool[pb.ReadRecordsResponse]
    links: Spool[pb.ReadLinksResponse]

    def chain(self) -> Chain:
        heard = [
            (told.link, Heard(told.node, told.number, told.hash))
            for page in self.links.pages()
            for told in page.heard
        ]
        return Chain(lambda: (_read_head(link) for page in self.links.pages() for link in page.links), heard)


@contextmanager
def read_books(
    gateway: OperatorClient, banks: Mapping[str, BankInspector]
) -> Iterator[tuple[GatewayBooks, list[BankBooks]]]:
    """Take a cut and give all records of that moment, valid until the end of the block.

    Raises `nodes.client.ClientError`; `NotFound` if the cut has a bank that is not among ``banks``.
    """
    with ExitStack() as spools:
        cut, (decided, *journals) = _read_cut(spools, gateway, banks, _CUTS_TRIED)
        names = [each.bank for each in cut.banks]
        yield _open_gateway(cut.epoch, cut.head.number, decided), [*map(_open_bank, names, journals)]


def _read_cut(
    spools: ExitStack, gateway: OperatorClient, banks: Mapping[str, BankInspector], tries: int
) -> tuple[operator_pb2.TakeCutResponse, list[_Read]]:
    cut = gateway.take_cut(keep_books=True)
    try:
        return cut, _read_all(spools, cut, gateway, banks)
    except CutGone:
        # Others have taken several meanwhile.
        if tries == 1:
            raise
    return _read_cut(spools, gateway, banks, tries - 1)


def _read_all(
    spools: ExitStack, cut: operator_pb2.TakeCutResponse, gateway: AuditLine, banks: Mapping[str, BankInspector]
) -> list[_Read]:
    unknown = [each.bank for each in cut.banks if each.bank not in banks]
    if unknown:
        raise NotFound(f"the gateway has banks that are not known here: {', '.join(unknown)}")
    heads: list[tuple[AuditLine, bank_pb2.ChainHead]] = [(gateway, cut.head)]
    heads += [(banks[each.bank], each.head) for each in cut.banks]
    with ThreadPoolExecutor(len(heads)) as threads:
        reading = [threads.submit(_read, spools, line, cut.cut, head) for line, head in heads]
    return [each.result() for each in reading]


def _read(spools: ExitStack, line: AuditLine, cut: int, head: bank_pb2.ChainHead) -> _Read:
    """Read a node: first what it keeps for the newest cuts alone."""
    standing = list(line.standing(cut))
    records = spools.enter_context(Spool(pb.ReadRecordsResponse, line.records(head.last_sequence)))
    return _Read(standing, records, spools.enter_context(Spool(pb.ReadLinksResponse, line.links(head.number))))


def _open_gateway(epoch: int, until: int, read: _Read) -> GatewayBooks:
    """Give the books up to the link ``until``: those of the cut."""

    def decisions() -> Iterator[Page]:
        pages = (read_columns(page.decisions) for page in read.records.pages())
        return (columns for columns in pages if columns[0])

    contradictions = [
        Contradiction(*_read_key(found.transaction), make_visible(found.said), make_visible(found.recorded))
        for page in read.standing
        for found in page.contradictions
    ]
    resolutions = [
        (each.link, Resolution(*_read_key(each.key), each.commit, each.who, each.why, each.at_us))
        for page in read.standing
        for each in page.resolutions
        if each.link <= until
    ]
    recoveries = [
        Recovery(each.link, each.follows, each.who, each.why, each.at_us, each.heads)
        for page in read.standing
        for each in page.recoveries
    ]
    resolved = [resolution for _, resolution in resolutions]
    chain = read.chain().with_acts(resolutions, recoveries)
    return GatewayBooks(epoch, decisions, contradictions, resolved, chain, recoveries)


def _open_bank(name: str, read: _Read) -> BankBooks:
    def entries() -> Iterator[Page]:
        for page in read.records.pages():
            sequences, payment_ids, *others = read_columns(page.entries)
            if sequences:
                # An opening has no payment, on disk as well.
                yield sequences, [payment_id or None for payment_id in payment_ids], *others

    return BankBooks(
        name=name,
        accounts=[_read_account(account) for page in read.standing for account in page.accounts],
        holds=[_read_hold(hold) for page in read.standing for hold in page.holds],
        entries=entries,
        chain=read.chain(),
    )


def _read_head(head: bank_pb2.ChainHead) -> Head:
    return Head(head.number, head.last_sequence, head.hash)


def _read_key(key: bank_pb2.TransactionKey) -> tuple[bytes, str, int]:
    return key.payment_id, key.payer, key.epoch


def _read_account(account: pb.AccountRecord) -> Account:
    sums = account.posted_minor, account.held_minor, account.incoming_minor
    return Account(account.name, account.currency, *sums)


def _read_hold(hold: bank_pb2.HoldRecord) -> Hold:
    payment_id, payer, epoch = _read_key(hold.key)
    moved = hold.debit_account, hold.credit_account, hold.amount_minor, hold.currency
    return Hold(payment_id, payer, epoch, *moved, hold.at_us)
