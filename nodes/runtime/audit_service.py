"""What every node lets an auditor read: its records, page by page, while it serves.

Records and links are written once, so any page of them is as true later as it was at the
cut. What changes, accounts and holds, the node keeps as it was at the newest cut.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import grpc
from interbank.v1 import audit_pb2 as pb
from interbank.v1 import audit_pb2_grpc, bank_pb2

from nodes.core.ledger import Account, Hold
from nodes.core.messages import Contradiction
from nodes.core.resolution import Resolution
from nodes.core.soundness import EPOCH_MAX
from nodes.runtime.chain_messages import write_head, write_hold_record
from nodes.runtime.chain_table import ChainTable
from nodes.runtime.pages import RECORDS_PAGE
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context


class Standing(NamedTuple):
    """What stood in a node's books at the moment of a cut."""

    cut: int
    accounts: Sequence[Account]
    holds: Sequence[Hold]
    contradictions: Sequence[Contradiction]
    resolutions: Sequence[Resolution] = ()


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """The node's face to auditors. ``read(after, limit, until)`` returns a page of records."""

    def __init__(
        self,
        chain: ChainTable,
        standing: Callable[[], Standing | None],
        read: Callable[[int, int], pb.ReadRecordsResponse],
    ) -> None:
        self._chain = chain
        self._standing = standing
        self._read = read

    async def ReadStanding(self, request: pb.ReadStandingRequest, context: Context) -> pb.ReadStandingResponse:
        """Show a page of accounts and of holds, as they were at the cut."""
        standing = self._standing()
        if standing is None or standing.cut != request.cut:
            said = f"the books of cut {request.cut} are not kept here any more; take another"
            raise RequestRefused(grpc.StatusCode.FAILED_PRECONDITION, said)
        page = slice(request.start, request.start + RECORDS_PAGE)
        is_last = max(len(standing.accounts), len(standing.holds)) <= page.stop
        return pb.ReadStandingResponse(
            accounts=map(_write_account, standing.accounts[page]),
            holds=map(write_hold_record, standing.holds[page]),
            contradictions=[] if request.start else map(_write_contradiction, standing.contradictions),
            resolutions=[] if request.start else map(_write_resolution, standing.resolutions),
            next_start=0 if is_last else page.stop,
        )

    async def ReadRecords(self, request: pb.ReadRecordsRequest, context: Context) -> pb.ReadRecordsResponse:
        """Show a page of what is written once."""
        return self._read(*_page(request))

    async def ReadLinks(self, request: pb.ReadLinksRequest, context: Context) -> pb.ReadLinksResponse:
        """Show a page of the chain."""
        after, until = _page(request)
        heard = [
            pb.HeardHead(link=link, node=told.node, number=told.number, hash=told.hash)
            for link, told in self._chain.heard_with(after, until)
        ]
        return pb.ReadLinksResponse(links=map(write_head, self._chain.links(after, until)), heard=heard)


def _page(request: pb.ReadRecordsRequest | pb.ReadLinksRequest) -> tuple[int, int]:
    """Return what a page begins after, and ends with."""
    after = min(request.after, EPOCH_MAX)
    return after, min(request.until, after + RECORDS_PAGE, EPOCH_MAX)


def _write_account(account: Account) -> pb.AccountRecord:
    return pb.AccountRecord(
        name=account.name,
        currency=account.currency,
        posted_minor=account.posted,
        held_minor=account.held,
        incoming_minor=account.incoming,
    )


def _write_contradiction(found: Contradiction) -> bank_pb2.Contradiction:
    key = bank_pb2.TransactionKey(payment_id=found.payment_id, payer=found.payer, epoch=found.epoch)
    return bank_pb2.Contradiction(transaction=key, said=found.said, recorded=found.recorded)


def _write_resolution(resolution: Resolution) -> pb.ResolutionRecord:
    payment_id, payer, epoch, commit, who, why, at_us = resolution
    key = bank_pb2.TransactionKey(payment_id=payment_id, payer=payer, epoch=epoch)
    return pb.ResolutionRecord(key=key, commit=commit, who=who, why=why, at_us=at_us)
