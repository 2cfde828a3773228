"""The bank's own voice to the gateway: it registers, and asks about what it holds in doubt.

While no stream of the gateway is open the bank registers again and again, which also
tells a gateway that has just come back to dial at once. While transactions stay in
doubt the bank asks about the oldest of them; it never ends one by itself. Waits back
off exponentially with full jitter, so that many banks do not ask in step.
"""

import asyncio
import random
import time
from collections.abc import Callable

import grpc
from interbank.v1 import registry_pb2 as pb
from interbank.v1 import registry_pb2_grpc
from interbank.v1.bank_pb2 import TransactionKey
from structlog.typing import FilteringBoundLogger

from nodes.bank.bank_service import BankService
from nodes.bank.conversions import write_key
from nodes.bank.loop import BankLoop
from nodes.runtime.crash_points import reach
from nodes.runtime.retrying import double_wait

_WAIT_MIN_S = 0.1
_WAIT_MAX_S = 2.0
_CALL_TIMEOUT_S = 2.0
_DOUBT_AGE_S = 1.0
"""A transaction held for longer is asked about; a vote is usually decided in milliseconds."""
_INQUIRY_MAX = 1000


class GatewayLink:
    """Keeps this bank registered, and nothing in doubt for longer than need be."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        loop: BankLoop,
        service: BankService,
        log: FilteringBoundLogger,
    ) -> None:
        self.failure = "not registered yet"
        self._open_channel = open_channel
        self._is_stale = False
        self._loop = loop
        self._service = service
        self._log = log

    def renew(self) -> None:
        """Go over to a new channel, made with the certificate of now, before the next call."""
        self._is_stale = True

    async def run(self, name: str, address: str) -> None:
        """Register as ``name``, reached at ``address``, and keep asking, until cancelled."""
        while True:
            self._is_stale = False
            async with self._open_channel() as channel:
                self._registry = registry_pb2_grpc.RegistryServiceStub(channel)
                await self._ask_on(name, address)

    async def _ask_on(self, name: str, address: str) -> None:
        failures = 0
        while not self._is_stale:
            try:
                if not self._service.streams:
                    await self._register(name, address)
                await self._inquire()
                failures = 0
            except grpc.aio.AioRpcError as error:
                failures += 1
                self._report(error)
            await self._pause(failures)

    async def _register(self, name: str, address: str) -> None:
        reach("bank.register.unsent")
        request = pb.RegisterBankRequest(name=name, address=address)
        response = await self._registry.RegisterBank(request, timeout=_CALL_TIMEOUT_S)
        reach("bank.register.answered")
        self.failure = ""
        self._log.info("registered", epoch=response.epoch)

    async def ask_now(self) -> tuple[int, int]:
        """Ask about the oldest that is held, however young; return how many were asked about, and answered."""
        return await self._inquire(older_than_s=0)

    async def _inquire(self, older_than_s: float = _DOUBT_AGE_S) -> tuple[int, int]:
        """Ask about the oldest transactions in doubt; those under way are left open by the gateway."""
        horizon_us = int((time.time() - older_than_s) * 1_000_000)
        lingering: list[TransactionKey] = []
        for hold in self._loop.ledger.holds.values():
            if hold.at_us > horizon_us or len(lingering) == _INQUIRY_MAX:
                break
            lingering.append(write_key((hold.payment_id, hold.payer, hold.epoch)))
        if lingering:
            reach("bank.inquiry.unsent")
            request = pb.GetDecisionsRequest(transactions=lingering)
            response = await self._registry.GetDecisions(request, timeout=_CALL_TIMEOUT_S)
            reach("bank.inquiry.answered")
            try:
                self._loop.receive_decisions(response.decisions)
            except ValueError as error:
                self._log.warning("answer_refused", details=str(error))
                return len(lingering), 0
            self._log.info("inquired", asked=len(lingering), decided=len(response.decisions.commits))
            return len(lingering), len(response.decisions.commits)
        return 0, 0

    def _report(self, error: grpc.aio.AioRpcError) -> None:
        failure = f"the gateway does not answer ({error.code().name})"
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            failure = f"the gateway refuses this bank: {error.details()}"
        if failure != self.failure:
            self._log.warning("gateway_away", code=error.code().name, details=error.details())
        self.failure = failure

    async def _pause(self, failures: int) -> None:
        """Wait for the next round: soon after a first failure, later after many, and never in step."""
        longest_s = double_wait(_WAIT_MIN_S, failures, _WAIT_MAX_S) if failures else 1.0
        await asyncio.sleep(random.uniform(0.05, longest_s))  # noqa: S311 - jitter, not a secret
