"""What a node did, as JSON lines: one object a line, made to be searched by payment id.

A line is written with one system call and nothing is kept back, so a killed process
loses none. Files rotate by size. Whatever a text holds, it stays one line: JSON escapes
line ends and control characters. Message fields marked ``sensitive`` in the .proto
files never get here (`describe`).
"""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import access_pb2
from structlog.typing import FilteringBoundLogger

from nodes.core.messages import Contradiction
from nodes.core.violations import format_payment_id

_FILE_BYTES_MAX = 20 * 1024 * 1024
_FILES_KEPT = 5
_INFO = 20
_UUID_BYTES = 16


class RotatingFile:
    """A file that is set aside when it is full: ``x.log.1`` is the newest of those kept. One writer."""

    def __init__(self, path: Path, bytes_max: int = _FILE_BYTES_MAX) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._bytes_max = bytes_max
        self._open()

    def write(self, line: bytes) -> None:
        """Write a whole line."""
        if self._size + len(line) > self._bytes_max:
            self._rotate()
        self._size += os.write(self._descriptor, line)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(_FILES_KEPT - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.rename(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.rename(self._path.with_name(f"{self._path.name}.1"))
        self._open()


def open_event_log(path: Path, node: str, *, least_level: int = _INFO) -> FilteringBoundLogger:
    """Return the log of one node. What is bound in structlog's context variables goes into every line."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.BytesLogger(RotatingFile(path)),  # type: ignore[arg-type]
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least_level),
        cache_logger_on_first_use=True,
    )
    return log.bind(node=node)


def describe(message: Message) -> dict[str, Any]:
    """Return the fields of a message that are set, fit for a log.

    Sensitive ones are starred, repeated ones counted, bytes shown as UUID or hex.
    """
    return {field.name: _show(field, value) for field, value in message.ListFields()}


def count_items(message: Message) -> dict[str, int]:
    """Return how many items each repeated field of a message has, for one line a batch."""
    return {field.name: len(value) for field, value in message.ListFields() if field.is_repeated}


def log_contradiction(log: FilteringBoundLogger, found: Contradiction) -> None:
    """Raise the alarm that two records cannot both be true."""
    log.critical(
        "contradiction",
        payment_id=format_payment_id(found.payment_id),
        payer=found.payer,
        epoch=found.epoch,
        said=found.said,
        recorded=found.recorded,
    )


def _show(field: FieldDescriptor, value: Any) -> Any:
    if _is_sensitive(field):
        return "***"
    if field.is_repeated:
        return len(value)
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return found.name if found else value
    return _show_value(value)


def _show_value(value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return describe(value)
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()
    return value


@lru_cache(maxsize=1024)
def _is_sensitive(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[access_pb2.sensitive])


def _render(_: Any, __: str, event: structlog.typing.EventDict) -> bytes:
    return json.dumps(event, default=str).encode()
