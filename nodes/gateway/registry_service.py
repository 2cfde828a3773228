"""What banks call: registration and inquiry. A bank speaks for itself alone."""

import time
from collections.abc import Callable

import grpc
from interbank.v1 import registry_pb2 as pb
from interbank.v1 import registry_pb2_grpc

from nodes.core.messages import Decide, TransactionKey
from nodes.core.names import is_address
from nodes.core.soundness import Unsound, demand_sound_keys
from nodes.gateway.conversions import read_keys, write_decides
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.store import GatewayStore
from nodes.runtime.access import current_caller
from nodes.runtime.audit_log import AuditLog
from nodes.runtime.capacity import Capacity
from nodes.runtime.crash_points import reach
from nodes.runtime.pace import Pace
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context

_INQUIRY_MAX = 1_000
_INQUIRIES_MAX = 32
"""Inquiries under way; a bank that is sound has one, or two when an operator asks for it."""
_MOVES_AT_ONCE = 10
_MOVE_EACH_S = 2.0


class RegistryService(registry_pb2_grpc.RegistryServiceServicer):
    """The gateway's face to the banks. ``reach`` is told where a bank listens now."""

    def __init__(
        self,
        loop: GatewayLoop,
        store: GatewayStore,
        audit: AuditLog,
        reach: Callable[[str, str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._store = store
        self._audit = audit
        self._reach = reach
        self._clock = clock
        self._pace = Pace(_INQUIRY_MAX)
        self._inquiries = Capacity("inquiries", _INQUIRIES_MAX)
        self._moves: dict[str, tuple[float, float]] = {}

    async def RegisterBank(self, request: pb.RegisterBankRequest, context: Context) -> pb.RegisterBankResponse:
        """Remember, durably, where the calling bank listens, and dial it."""
        own_name = current_caller().identity.name
        if request.name != own_name:
            said = f"{own_name} may register only as itself, not as {request.name[:40]!r}"
            raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, said)
        if not is_address(request.address):
            said = "must be host:port with a port of 1 to 65535"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"address: {said}", [("address", said)])
        if self._store.banks().get(own_name) != request.address:
            self._demand_seldom(own_name)
            self._store.save_bank(own_name, request.address)
            self._audit.note(current_caller(), "register", address=request.address)
        reach("gateway.register.undialled")
        self._reach(own_name, request.address)
        return pb.RegisterBankResponse(epoch=self._loop.coordinator.epoch)

    def _demand_seldom(self, bank: str) -> None:
        """Refuse a bank that moves again and again: each move is a write to the disk, and a line that is kept."""
        now = self._clock()
        moves, at = self._moves.get(bank, (0.0, now))
        moves = max(0.0, moves - (now - at) / _MOVE_EACH_S)
        if moves + 1 > _MOVES_AT_ONCE:
            said = f"{bank} moves too often: at most once in {_MOVE_EACH_S:g} s"
            raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said, retry_after_s=_MOVE_EACH_S)
        self._moves[bank] = moves + 1, now

    async def GetDecisions(self, request: pb.GetDecisionsRequest, context: Context) -> pb.GetDecisionsResponse:
        """Answer what the calling bank holds in doubt; what is under way is left out."""
        bank = current_caller().identity.name
        if len(request.transactions) > _INQUIRY_MAX:
            said = f"must be at most {_INQUIRY_MAX} at once"
            raise RequestRefused(
                grpc.StatusCode.INVALID_ARGUMENT, f"transactions: {said}", [("transactions", said)]
            )
        thumbprint = current_caller().thumbprint
        self._inquiries.take(thumbprint)
        try:
            await self._pace.begin(len(request.transactions))
            decides = await self._inquire(bank, read_keys(request.transactions))
        finally:
            self._inquiries.give_back(thumbprint)
        return pb.GetDecisionsResponse(decisions=write_decides(decides))

    async def _inquire(self, bank: str, transactions: list[TransactionKey]) -> list[Decide]:
        try:
            demand_sound_keys(transactions)
        except Unsound as error:
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"transactions.{error}") from error
        self._demand_part(bank, transactions)
        return await self._loop.inquire(bank, transactions)

    def _demand_part(self, bank: str, transactions: list[TransactionKey]) -> None:
        """Refuse a bank that asks about a transaction of others: it could hold nothing of it."""
        recorded = self._store.find_decisions([(payment_id, payer) for payment_id, payer, _ in transactions])
        coordinator = self._loop.coordinator
        for payment_id, payer, epoch in transactions:
            decision = recorded.get((payment_id, payer))
            opened = coordinator.open.get((payment_id, payer))
            if decision is not None and decision.epoch == epoch:
                has_part = bank in decision.payment.banks
            else:
                has_part = opened is None or epoch != coordinator.epoch or bank in opened.payment.banks
            if not has_part:
                said = f"{bank} has no part in one of these transactions"
                raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, said)
