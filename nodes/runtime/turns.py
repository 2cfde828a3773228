"""Natural batching: each turn takes all that has gathered while the last one worked.

No timer and no threshold: an idle node answers the first message at once, a busy one
finds its next batch waiting when it comes back from the disk.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """What has come in and waits for the next turn. For one event loop and one taker."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._gathered = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add one item; it is taken in the order of coming."""
        if not self._items:
            self._gathered.set()
        self._items.append(item)

    def extend(self, items: Iterable[Item]) -> None:
        """Add several, which stay together."""
        self._items.extend(items)
        if self._items:
            self._gathered.set()

    async def take(self, let_gather: Callable[[], Awaitable[None]] | None = None) -> list[Item]:
        """Wait until there is something, then for ``let_gather`` if it is given, and return all that is there."""
        await self._gathered.wait()
        if let_gather is not None:
            await let_gather()
        items, self._items = self._items, []
        self._gathered.clear()
        return items

    async def batches(self, let_gather: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[list[Item]]:
        """Yield each turn's items for ever, letting the loop breathe in between."""
        while True:
            yield await self.take(let_gather)
            await asyncio.sleep(0)


async def run_turns(
    inbox: Inbox[Item],
    turn: Callable[[list[Item]], None],
    let_gather: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Call ``turn`` with all that has gathered, again and again, until cancelled.

    ``let_gather`` is waited for once there is something, and may let more come.

    An exception of ``turn`` ends this; it must end the process, since what the turn
    had begun is neither durable nor undone.
    """
    async for items in inbox.batches(let_gather):
        turn(items)
