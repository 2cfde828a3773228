r"""logs/transactions.json: one JSON object a line for every payment, committed or declined.

For people and their tools; a view of the database, not a second truth. Whatever is
missing from it at the start (the file was lost, the machine stopped before the last
lines were out) is written again from the decisions, and a torn last line is cut off.
A file that does not belong to this database is set aside, never overwritten.
"""

import json
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from nodes.core.messages import Decision, Outcome, Reason
from nodes.core.violations import format_payment_id
from nodes.gateway.store import GatewayStore

_OUTCOMES = {outcome: json.dumps(outcome.name.lower()) for outcome in Outcome}
_REASONS = {reason: json.dumps(reason.name.lower() if reason else None) for reason in Reason}
_TAIL_BYTES = 64 * 1024
_CHUNK_LINES = 10_000


class TransactionsFile:
    """The open file. For the gateway's loop alone."""

    def __init__(self, path: Path, store: GatewayStore) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = _mend(path)
        if written is None or written > store.last_sequence():
            path.rename(path.with_name(f"{path.name}.set-aside-{time.time_ns()}"))
            written = 0
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=1024 * 1024)
        self._write_missing(store, written)

    def append(self, decisions: Iterable[Decision]) -> None:
        """Write a line for each; handed to the system before it returns, synced by nobody."""
        self._file.write("".join(map(_line, decisions)).encode())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_missing(self, store: GatewayStore, written: int) -> None:
        chunk: list[Decision] = []
        for decision in store.decisions_since(written):
            chunk.append(decision)
            if len(chunk) == _CHUNK_LINES:
                self.append(chunk)
                chunk.clear()
        self.append(chunk)


def _mend(path: Path) -> int | None:
    """Cut a torn last line off; return the sequence of the last whole one, None if there is none in a file."""
    if not path.exists() or not path.stat().st_size:
        return 0
    with path.open("r+b") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(start)
        lines = file.read().splitlines(keepends=True)
        while lines and not _sequence(lines[-1]):
            lines.pop()
        if not lines:
            return None
        file.truncate(start + sum(map(len, lines)))
        return _sequence(lines[-1])


def _sequence(line: bytes) -> int:
    """Return the sequence that a line is about, 0 if it is not a whole line of ours."""
    try:
        sequence = json.loads(line)["sequence"] if line.endswith(b"\n") else 0
    except (ValueError, TypeError, KeyError):
        return 0
    return sequence if isinstance(sequence, int) else 0


def _line(decision: Decision) -> str:
    """Write a line; names and currencies are of letters and digits, so nothing in it needs escaping."""
    sequence, epoch, payment, outcome, reason, created_at_us, decided_at_us = decision
    payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, _ = payment
    return (
        f'{{"sequence": {sequence}, "payment_id": "{format_payment_id(payment_id)}",'
        f' "payer": "{payer}@{payer_bank}", "payee": "{payee}@{payee_bank}",'
        f' "amount_minor": {amount_minor}, "currency": "{currency}",'
        f' "outcome": {_OUTCOMES[outcome]}, "reason": {_REASONS[reason]}, "epoch": {epoch},'
        f' "created_at": "{_time(created_at_us)}", "decided_at": "{_time(decided_at_us)}"}}\n'
    )


@lru_cache(maxsize=4096)  # all that a turn decides has one time
def _time(at_us: int) -> str:
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{at}.{at_us % 1_000_000:06}Z"
