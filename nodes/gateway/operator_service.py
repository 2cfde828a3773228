"""What operators look at: one payment everywhere, and the sums of all books."""

import asyncio

import grpc
from interbank.v1 import audit_pb2, bank_pb2, operator_pb2_grpc, payment_pb2
from interbank.v1 import operator_pb2 as pb

from nodes.core.violations import Malformed, parse_payment_id
from nodes.gateway.bank_link import BankLink
from nodes.gateway.conversions import write_decision, write_open_payment
from nodes.gateway.cuts import CutImpossible
from nodes.gateway.in_doubt import InDoubt
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.store import GatewayStore
from nodes.runtime.access import current_caller
from nodes.runtime.audit_log import AuditLog
from nodes.runtime.audit_service import Standing
from nodes.runtime.chain_messages import write_head
from nodes.runtime.columns import write_columns
from nodes.runtime.event_log import describe
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context


class OperatorService(operator_pb2_grpc.OperatorServiceServicer):
    """The gateway's face to the operator's certificate."""

    def __init__(self, loop: GatewayLoop, store: GatewayStore, audit: AuditLog) -> None:
        self._audit = audit
        self._loop = loop
        self._store = store
        self._in_doubt = InDoubt(loop, store)

    async def ShowPayment(self, request: pb.ShowPaymentRequest, context: Context) -> pb.ShowPaymentResponse:
        """Show what gateway and banks know of a payment id, by each user who used it."""
        try:
            payment_id = parse_payment_id(request.payment_id)
        except Malformed as error:
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, str(error), error.violations) from error
        known = self._find(payment_id)
        if not known:
            raise RequestRefused(grpc.StatusCode.NOT_FOUND, f"no user has a payment {request.payment_id}")
        links = self._loop.sorted_links()
        seen = await asyncio.gather(*(_look_at(link, payment_id) for link in links))
        return pb.ShowPaymentResponse(
            traces=[
                pb.PaymentTrace(payment=payment, epoch=epoch, banks=_of_payer(seen, payer))
                for payer, payment, epoch in known
            ]
        )

    async def TakeCut(self, request: pb.TakeCutRequest, context: Context) -> pb.TakeCutResponse:
        """Find a moment at which the books of all banks must add up."""
        try:
            cut = await self._loop.cuts.take(keep_books=request.keep_books)
        except CutImpossible as error:
            raise RequestRefused(grpc.StatusCode.UNAVAILABLE, f"no cut can be taken: {error}", (), 1.0) from error
        epoch = self._loop.coordinator.epoch
        return pb.TakeCutResponse(cut=cut.number, epoch=epoch, head=write_head(cut.head), banks=cut.banks)

    async def JudgeInDoubt(self, request: pb.JudgeInDoubtRequest, context: Context) -> pb.JudgeInDoubtResponse:
        """Say what the gateway answers for each transaction, and on what ground."""
        return pb.JudgeInDoubtResponse(said=self._in_doubt.judge(request.transactions))

    async def ResolveInDoubt(
        self, request: pb.ResolveInDoubtRequest, context: Context
    ) -> pb.ResolveInDoubtResponse:
        """Settle by hand what no record settles."""
        await self._in_doubt.resolve(request)
        known = describe(request.transaction)
        said = {"bank": request.bank, "commit": request.commit, "who": request.who, "why": request.why}
        self._audit.note(current_caller(), "resolve", **known | said)
        return pb.ResolveInDoubtResponse()

    def read_records(self, after: int, until: int) -> audit_pb2.ReadRecordsResponse:
        """Return a page of decisions for an auditor."""
        rows = self._store.read_rows(after, until)
        return audit_pb2.ReadRecordsResponse(decisions=write_columns(audit_pb2.DecisionRecords, rows))

    def standing(self, cut: int) -> Standing:
        """Return what changes in the gateway's records, for an auditor: the same for every cut."""
        store = self._store
        return Standing((), (), store.contradictions(), store.resolutions(), store.recoveries())

    async def CollectTotals(self, request: pb.CollectTotalsRequest, context: Context) -> pb.CollectTotalsResponse:
        """Ask every bank for its sums."""
        links = self._loop.sorted_links()
        asked = await asyncio.gather(*(link.totals() for link in links), return_exceptions=True)
        response = pb.CollectTotalsResponse()
        for link, answer in zip(links, asked, strict=True):
            if not isinstance(answer, BaseException):
                response.banks.append(answer)
            elif isinstance(answer, grpc.aio.AioRpcError | ConnectionError):
                response.unavailable_banks.append(link.name)
            else:
                raise answer
        return response

    def _find(self, payment_id: bytes) -> list[tuple[str, payment_pb2.Payment, int]]:
        """Return (payer, payment, epoch) for each user who used this id."""
        known = [
            (decision.payment.payer, write_decision(decision, decision.payment.payer), decision.epoch)
            for decision in self._store.decisions_of(payment_id)
        ]
        for (open_id, payer), opened in self._loop.coordinator.open.items():
            if open_id == payment_id:
                shown = write_open_payment(opened.payment, payer, opened.created_at_us)
                known.append((payer, shown, self._loop.coordinator.epoch))
        return known


async def _look_at(link: BankLink, payment_id: bytes) -> pb.BankTrace:
    try:
        answer = await link.transactions(payment_id)
    except ConnectionError as error:
        return pb.BankTrace(bank=link.name, error=str(error))
    except grpc.aio.AioRpcError as error:
        return pb.BankTrace(bank=link.name, error=f"{error.code().name}: {error.details()}")
    return pb.BankTrace(bank=link.name, transactions=answer.transactions)


def _of_payer(seen: list[pb.BankTrace], payer: str) -> list[pb.BankTrace]:
    """Keep what concerns one payer's use of the id, and the banks that could not be asked."""
    traces = []
    for trace in seen:
        own: list[bank_pb2.BankTransaction] = [t for t in trace.transactions if t.key.payer == payer]
        if own or trace.error:
            traces.append(pb.BankTrace(bank=trace.bank, transactions=own, error=trace.error))
    return traces
