"""Adds up the books of all banks, again and again, at moments when they must add up.

A cut reads one row of each bank for each other bank, whatever the number of accounts and
payments, and stops nobody. What two banks say they owe each other must be the same; as
each bank's own books sum to zero (seen at its start, and by the audit), no money was
made or lost. A first difference is looked at again: only one that stays is an alarm.
"""

import asyncio
import time
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from nodes.core.money import format_amount
from nodes.core.settlement import find_imbalances, sum_paid_in
from nodes.gateway.cuts import CutImpossible, Cuts

_EVERY_S = 10.0
_FIRST_S = 0.5
_LOOKS = 3
_BETWEEN_LOOKS_S = 0.3


class Verdict(NamedTuple):
    """What a cut showed; ``at_s`` is monotonic."""

    said: str
    has_failed: bool
    at_s: float


class MoneyCheck:
    """Keeps the newest verdict, None before the first."""

    def __init__(self, cuts: Cuts, log: FilteringBoundLogger) -> None:
        self.verdict: Verdict | None = None
        self._cuts = cuts
        self._log = log

    async def run(self) -> None:
        """Check now and then, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S if self.verdict else _FIRST_S)
            try:
                await self.check()
            except CutImpossible as error:
                self._log.debug("no_cut", why=str(error))

    async def check(self) -> Verdict:
        """Take a cut and judge it; raises `nodes.gateway.cuts.CutImpossible`."""
        imbalances: list[str] = []
        for look in range(_LOOKS):
            if look:
                await asyncio.sleep(_BETWEEN_LOOKS_S)
            positions = (await self._cuts.take()).positions
            imbalances = find_imbalances(positions)
            if not imbalances:
                paid_in = sum_paid_in(positions).items()
                amounts = ", ".join(f"{format_amount(minor, currency)} {currency}" for currency, minor in paid_in)
                self.verdict = Verdict(f"OK {amounts}", False, time.monotonic())
                return self.verdict
        self.verdict = Verdict(f"FAILED: {'; '.join(imbalances)}", True, time.monotonic())
        self._log.critical("money_check_failed", imbalances=imbalances)
        return self.verdict
