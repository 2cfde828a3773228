"""Consistent cuts: moments at which every bank has carried out exactly what was decided until then.

All payments pass through the gateway's turns, and what a turn says to a bank arrives
there in order. So a marker that is sent to every bank after one turn, and before the
next, splits what each bank carries out at the same decision, and the books that a bank
reads when the marker comes belong to one moment. Nothing is held up by that.

Only an answer to an inquiry would go past the markers: it waits until the cut is taken.
Source: Chandy and Lamport, Distributed Snapshots (1985).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import Head
from nodes.core.coordinator import Coordinator
from nodes.core.settlement import Positions
from nodes.gateway.bank_link import BankLink
from nodes.gateway.markers import Markers
from nodes.runtime.chain_messages import read_clearing
from nodes.runtime.chain_table import ChainTable

_ANSWERS_WITHIN_S = 10.0
"""How long a bank that is there may take: one that is silent is soon counted as away."""
_BACK_WITHIN_S = 2.0
"""How long a bank that is away is waited for: one that starts again takes half a second."""
_RETRY_S = 0.1


class CutImpossible(Exception):
    """No cut can be taken now; the message says why."""


class Cut(NamedTuple):
    """The books of one moment: the gateway's chain reached until ``head``, each bank's stood as it says."""

    number: int
    head: Head
    banks: list[pb.BankCut]

    @property
    def positions(self) -> Positions:
        """What each bank's own accounts held."""
        return {bank.bank: read_clearing(bank) for bank in self.banks}


class Cuts(Markers):
    """Takes cuts, one at a time. The gateway's loop calls `mark` after each turn, and tells what it hears."""

    def __init__(
        self, coordinator: Coordinator, chain: ChainTable, links: Mapping[str, BankLink], wake: Callable[[], None]
    ) -> None:
        super().__init__(coordinator, chain, links)
        self._wake = wake
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[Cut] | None = None
        self._next_keeps_books = False

    async def take(self, *, keep_books: bool = False) -> Cut:
        """Take a cut; raises `CutImpossible`. With ``keep_books`` banks keep theirs for `AuditService` to read.

        All who ask while one is being taken share the next.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._take_next())
            self._next.add_done_callback(_look_at)
        self._next_keeps_books |= keep_books
        return await asyncio.shield(self._next)

    async def _take_next(self) -> Cut:
        async with self._one_at_a_time:
            # Whoever asks from now on gets another: this one may come before what they have seen.
            self._next = None
            keep_books, self._next_keeps_books = self._next_keeps_books, False
            gives_up_s = time.monotonic() + _BACK_WITHIN_S
            while True:
                try:
                    banks = await self._ask(keep_books)
                except CutImpossible:
                    if time.monotonic() > gives_up_s:
                        raise
                    await asyncio.sleep(_RETRY_S)
                else:
                    return Cut(self.number, self.head, banks)

    async def _ask(self, keep_books: bool) -> list[pb.BankCut]:
        asked: asyncio.Future[list[pb.BankCut]] = asyncio.get_running_loop().create_future()

        def settle(banks: list[pb.BankCut], why: str) -> None:
            if asked.done():
                return
            if why:
                asked.set_exception(CutImpossible(why))
            else:
                asked.set_result(banks)

        self.begin(settle, keeps_books=keep_books)
        self._wake()
        try:
            return await asyncio.wait_for(asked, _ANSWERS_WITHIN_S)
        except TimeoutError:
            silent = ", ".join(self.silent)
            raise CutImpossible(f"{silent} did not answer within {_ANSWERS_WITHIN_S:g} s") from None
        finally:
            self.give_up()


def _look_at(ended: "asyncio.Task[Cut]") -> None:
    """Have an error count as seen even if all who asked have left."""
    if not ended.cancelled():
        ended.exception()
