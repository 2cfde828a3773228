"""What a node did, as JSON lines: one object a line, made to be searched by payment id.

Each line is handed to the system at once, so a killed process loses none
(`nodes.runtime.rotating_file`). Whatever a text holds, it stays one line: JSON escapes
line ends and control characters. Message fields marked ``sensitive`` in the .proto
files never get here, and long values are cut (`describe`): nobody fills the log by
what they send.
"""

import json
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

_INFO = 20
_UUID_BYTES = 16
_TEXT_MAX = 256


def open_event_log(path: Path, node: str, *, least_level: int = _INFO) -> FilteringBoundLogger:
    """Return the log of one node; raises `LogUnusable`.

    What is bound in structlog's context variables goes into every line.
    """
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

    Sensitive ones are starred, repeated ones counted, long ones cut, bytes shown as
    UUID or hex.
    """
    return {field.name: _show(field, value) for field, value in message.ListFields()}


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
        return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else shorten(value[:_TEXT_MAX].hex())
    return shorten(value) if isinstance(value, str) else value


def shorten(text: str) -> str:
    """Cut a text that is too long for a log."""
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "..."


@lru_cache(maxsize=1024)
def _is_sensitive(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[access_pb2.sensitive])


def _render(_: Any, __: str, event: structlog.typing.EventDict) -> bytes:
    return json.dumps(event, default=str).encode()
