"""The coordinator's durable decisions: a file that is only added to, synced once for all that wait."""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class DecisionLog:
    """`record` returns when its line is on the disk; those that come meanwhile share the next sync."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._is_syncing = False
        self.syncs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    async def record(self, transaction: str) -> None:
        """Make the decision to commit a transaction durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.append(f"commit {transaction}\n".encode())
        self._waiting.append(future)
        if not self._is_syncing:
            self._is_syncing = True
            asyncio.get_running_loop().call_soon(self._sync)
        await future

    def _sync(self) -> None:
        """Write what has gathered. In the loop: a thread's hand-over costs more than the sync itself."""
        lines, self._lines = self._lines, []
        waiting, self._waiting = self._waiting, []
        os.write(self._descriptor, b"".join(lines))
        os.fdatasync(self._descriptor)
        self.syncs += 1
        for future in waiting:
            future.set_result(None)
        self._is_syncing = False
