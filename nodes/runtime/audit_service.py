"""What every node lets an auditor read: its records, page by page, while it serves.

Records and links are written once, so any page of them is as true later as it was at the
cut. What changes, accounts and holds, the node keeps as it was at the newest cuts.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import grpc
from interbank.v1 import audit_pb2 as pb
from interbank.v1 import audit_pb2_grpc, bank_pb2

from nodes.core.ledger import Account, Hold
from nodes.core.messages import Contradiction
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution
from nodes.core.soundness import EPOCH_MAX
from nodes.runtime.chain_messages import write_head, write_hold_record
from nodes.runtime.chain_table import ChainTable
from nodes.runtime.pages import RECORDS_PAGE
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context

_CUTS_KEPT = 3
"""How many audits may read at their own pace: each is a copy of all accounts."""

_PAGES_A_ROUND = 2
"""How many pages of records are read in one round of the loop: 10 ms each."""


class Standing(NamedTuple):
    """What stood in a node's books at the moment of a cut."""

    accounts: Sequence[Account]
    holds: Sequence[Hold]
    contradictions: Sequence[Contradiction]
    resolutions: Sequence[tuple[int, Resolution]] = ()
    """Each with the number of the link that covers it."""
    recoveries: Sequence[Recovery] = ()


class Standings:
    """The books of the newest cuts."""

    def __init__(self) -> None:
        self._by_cut: dict[int, Standing] = {}

    def keep(self, cut: int, standing: Standing) -> None:
        """Keep one more, and let go of the oldest."""
        # A gateway that has started again counts from the beginning.
        self._by_cut.pop(cut, None)
        self._by_cut[cut] = standing
        if len(self._by_cut) > _CUTS_KEPT:
            del self._by_cut[next(iter(self._by_cut))]

    def find(self, cut: int) -> Standing | None:
        """Return the books of a cut, None if they are not kept."""
        return self._by_cut.get(cut)


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """The node's face to auditors.

    ``standing(cut)`` returns what stood at a cut, ``read(after, until)`` a page of records.
    """

    def __init__(
        self,
        chain: ChainTable,
        standing: Callable[[int], Standing | None],
        read: Callable[[int, int], pb.ReadRecordsResponse],
    ) -> None:
        self._chain = chain
        self._standing = standing
        self._read = read
        self._places = asyncio.Semaphore(_PAGES_A_ROUND)
        """However many are asked for ahead, payments wait for these at most."""

    async def ReadStanding(self, request: pb.ReadStandingRequest, context: Context) -> pb.ReadStandingResponse:
        """Show a page of accounts and of holds, as they were at the cut."""
        standing = self._standing(request.cut)
        if standing is None:
            said = f"the books of cut {request.cut} are not kept here any more; take another"
            raise RequestRefused(grpc.StatusCode.ABORTED, said)
        page = slice(request.start, request.start + RECORDS_PAGE)
        is_last = max(len(standing.accounts), len(standing.holds)) <= page.stop
        return pb.ReadStandingResponse(
            accounts=map(_write_account, standing.accounts[page]),
            holds=map(write_hold_record, standing.holds[page]),
            contradictions=[] if request.start else map(_write_contradiction, standing.contradictions),
            resolutions=[] if request.start else map(_write_resolution, standing.resolutions),
            recoveries=[]
            if request.start
            else [pb.RecoveryRecord(**each._asdict()) for each in standing.recoveries],
            next_start=0 if is_last else page.stop,
        )

    async def ReadRecords(self, request: pb.ReadRecordsRequest, context: Context) -> pb.ReadRecordsResponse:
        """Show a page of what is written once."""
        async with self._places:
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


def _write_resolution(chained: tuple[int, Resolution]) -> pb.ResolutionRecord:
    link, (payment_id, payer, epoch, commit, who, why, at_us) = chained
    key = bank_pb2.TransactionKey(payment_id=payment_id, payer=payer, epoch=epoch)
    return pb.ResolutionRecord(key=key, commit=commit, who=who, why=why, at_us=at_us, link=link)
