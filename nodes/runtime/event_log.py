"""What a node did, as JSON lines: one object a line, made to be searched by payment id.

Each line is handed to the system at once, so a killed process loses none
(`nodes.runtime.rotating_file`). Whatever a text holds, it stays one line: JSON escapes
line ends and control characters. Message fields marked ``sensitive`` in the .proto
files never get here, and long values are cut (`describe`): nobody fills the log by
what they send.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
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
from nodes.runtime.rotating_file import RotatingFile

_encode = json.JSONEncoder(default=str).encode
_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 - never written to
_INFO = 20
_UUID_BYTES = 16
_TEXT_MAX = 256


def open_event_log(path: Path, node: str, *, least_level: int = _INFO) -> FilteringBoundLogger:
    """Return the log of one node; raises `LogUnusable`.

    What `use_context` was given goes into every line.
    """
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.BytesLogger(RotatingFile(path)),  # type: ignore[arg-type]
        processors=[_render],
        wrapper_class=structlog.make_filtering_bound_logger(least_level),
        cache_logger_on_first_use=True,
    )
    return log.bind(node=node)


def use_context(fields: Mapping[str, Any]) -> None:
    """Put ``fields`` into every line that this task, and whoever it starts, writes from now on.

    One variable and not one for each field, as structlog's own: they are looked up for every line.
    """
    _context.set(fields)


def current_context() -> Mapping[str, Any]:
    """Return what goes into every line now."""
    return _context.get()


def describe(message: Message) -> dict[str, Any]:
    """Return the fields of a message that are set, fit for a log.

    Sensitive ones are starred, repeated ones counted, long ones cut, bytes shown as
    UUID or hex.
    """
    return {field.name: _shower(field)(value) for field, value in message.ListFields()}


def count_items(message: Message) -> dict[str, int]:
    """Return how many items each repeated field of a message has, for one line a batch.

    A message of columns counts as one such field: its first column is as long as all others.
    """
    counts = {}
    for field, value in message.ListFields():
        items = value if field.is_repeated else _first_column(field, value)
        if items is not None:
            counts[field.name] = len(items)
    return counts


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


def _first_column(field: FieldDescriptor, value: Any) -> Any:
    columns = value.ListFields() if field.message_type is not None else ()
    return columns[0][1] if columns and columns[0][0].is_repeated else None


@lru_cache(maxsize=4096)
def _shower(field: FieldDescriptor) -> Callable[[Any], Any]:
    """Return what shows a field's value; chosen once, since a request has many fields and a node many requests."""
    if field.GetOptions().Extensions[access_pb2.sensitive]:
        return lambda _: "***"
    if field.is_repeated:
        return len
    if field.enum_type is not None:
        names = {number: found.name for number, found in field.enum_type.values_by_number.items()}
        return lambda value: names.get(value, value)
    return _show_value


def _show_value(value: Any) -> Any:
    if isinstance(value, Timestamp):
        return _format_time(value.seconds * 1_000_000 + value.nanos // 1000)
    if isinstance(value, Message):
        return describe(value)
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else shorten(value[:_TEXT_MAX].hex())
    return shorten(value) if isinstance(value, str) else value


def shorten(text: str) -> str:
    """Cut a text that is too long for a log."""
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "..."


def _render(_: Any, level: str, event: structlog.typing.EventDict) -> bytes:
    """Make an event a line. One step instead of a chain of structlog's: two lines a call are half its cost."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(None, level, event)
    at = _format_time(time.time_ns() // 1000)
    return _encode({**_context.get(), **event, "level": level, "ts": at}).encode()


def _format_time(at_us: int) -> str:
    return f"{_format_second(at_us // 1_000_000)}.{at_us % 1_000_000:06}Z"


@lru_cache(maxsize=2)
def _format_second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
