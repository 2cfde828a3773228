"""Work that takes milliseconds of an event loop: some of it at once, then a rest in which all else gets on.

gRPC hands over one call in each round of the loop, so whoever calls waits behind the work of everybody
who called before. A thousand calls that each ask for a page of history would hold the next one up for ten
seconds, and whoever watches the node takes it for dead.
"""

import asyncio
from collections import deque


class Pace:
    """Lets so many pieces of work begin at once, in the order of coming, and the next after a rest.

    The rest takes as long as the work took. For one event loop.
    """

    def __init__(self, pieces_max: int) -> None:
        self._pieces_max = pieces_max
        self._begun = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def begin(self, pieces: int) -> None:
        """Return when work of so many pieces, or of none, may be done; do it then without a wait.

        What has none counts as one. Work of more pieces than may begin at once is let in alone.
        """
        if not self._waiting and self._begun < self._pieces_max:
            self._let_in(pieces)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, pieces))
        await turn

    def _let_in(self, pieces: int) -> None:
        if not self._begun:
            loop = asyncio.get_running_loop()
            # Who has waited is woken in the next round of the loop, and works then.
            loop.call_soon(loop.call_soon, self._rest, loop.time())
        self._begun += max(1, pieces)

    def _rest(self, began_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(loop.time() - began_s, self._go_on)

    def _go_on(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < self._pieces_max:
            turn, pieces = self._waiting.popleft()
            # Who was cancelled meanwhile has no work.
            if not turn.done():
                self._let_in(pieces)
                turn.set_result(None)
