"""What happened to the nodes: the last events in memory, all of them in logs/supervisor.log.

An event is a flat dict: ``time`` (UTC, RFC 3339), ``node`` (empty for the supervisor
itself), ``event`` (one word) and ``text`` (one line for people).
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from nodes.runtime.crash_points import reach

Entry = dict[str, str]

_KEPT = 1000
_FILE_MAX_BYTES = 4 * 1024 * 1024
_QUEUED_MAX = 4 * _KEPT


class Journal:
    """Keeps events; `follow` hands on those to come."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = RotatingFileHandler(path, maxBytes=_FILE_MAX_BYTES, backupCount=2, encoding="utf-8")
        self._recent: deque[Entry] = deque(maxlen=_KEPT)
        self._followers: set[asyncio.Queue[Entry]] = set()

    def write(self, node: str, event: str, text: str) -> Entry:
        """Keep one event and hand it to the followers; one who lags too far loses events, never blocks."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"time": now, "node": node, "event": event, "text": text}
        self._recent.append(entry)
        reach("supervisor.journal.unwritten")
        self._file.emit(logging.makeLogRecord({"msg": json.dumps(entry, ensure_ascii=False)}))
        for queue in self._followers:
            if queue.qsize() < _QUEUED_MAX:
                queue.put_nowait(entry)
        return entry

    def recent(self, count: int) -> list[Entry]:
        """Return the last events, oldest first."""
        return list(self._recent)[-count:] if count > 0 else []

    async def follow(self) -> AsyncIterator[Entry]:
        """Yield every event from now on."""
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)

    def close(self) -> None:
        """Close the file; what found no room in it is lost."""
        with suppress(OSError):
            self._file.close()
