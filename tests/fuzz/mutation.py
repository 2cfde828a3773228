"""Requests that are almost right: fields filled from what tends to break things, then bytes changed at random.

Everything comes from one `random.Random`, so a seed makes the same requests again.
"""

import random
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_TEXTS = [
    "",
    "alice",
    "alice@ICICI",
    "bob@HDFC",
    "bob",
    "HDFC",
    "ICICI",
    "SBI",
    "NOWHERE",
    "INR",
    "USD",
    "inr",
    "localhost:1",
    "00000000-0000-0000-0000-000000000000",
    "01890a5d-ac96-774b-bcce-b302099a8057",
    "\0",
    "a\nb",
    "\x1b[31m",
    "\u202e",
    "\u0430lice",
    "' OR 1=1 --",
    "../../etc/passwd",
    "%s%n",
    "{}",
    '"}\n{"x":"',
    "@paid-in/INR",
    "-1",
    "9223372036854775808",
    "1e9",
    "NaN",
    "\U0001f4b0" * 50,
    "x" * 141,
    "x" * 5000,
]
_NUMBERS = [0, 1, 2, 3, 7, 100, -1, 2**31 - 1, -(2**31), 2**31, 2**32, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


class Mutator:
    """Makes requests of one message type, by ``rng``; ``good`` makes a right one to start from."""

    def __init__(self, rng: random.Random, descriptor: Descriptor, good: Callable[[], Message]) -> None:
        self.rng = self._rng = rng
        self._type = GetMessageClass(descriptor)
        self._good = good

    def request(self) -> bytes:
        """Return one request: right, of the grammar, or with bytes changed."""
        kind = self._rng.random()
        if kind < 0.1:
            return self._good().SerializeToString()
        if kind < 0.55:
            return self._spoil().SerializeToString()
        if kind < 0.8:
            return self.fill(self._type(), depth=0).SerializeToString()
        return self._change_bytes(self._spoil().SerializeToString())

    def _spoil(self) -> Message:
        """Return a right request with one or two fields filled anew."""
        message = self._good()
        fields = list(message.DESCRIPTOR.fields)
        for field in self._rng.sample(fields, min(len(fields), self._rng.randint(1, 2))):
            message.ClearField(field.name)
            self._set(message, field, depth=0)
        return message

    def fill(self, message: Message, depth: int) -> Message:
        """Fill each field, or leave it out."""
        for field in message.DESCRIPTOR.fields:
            if self._rng.random() < 0.8:
                self._set(message, field, depth)
        return message

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is not None:
            if depth > 3 or field.message_type.GetOptions().map_entry:
                return
            into = getattr(message, field.name)
            for _ in range(self._count() if field.is_repeated else 1):
                self.fill(into.add() if field.is_repeated else into, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(self._value(field) for _ in range(self._count()))
        else:
            setattr(message, field.name, self._value(field))

    def _count(self) -> int:
        return self._rng.choice([0, 1, 1, 1, 2, 3, 20])

    def _value(self, field: FieldDescriptor) -> Any:
        rng = self._rng
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.choice([0, 1, 15, 16, 16, 16, 17, 300]))
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return rng.choice(_TEXTS)
        low, high = _BOUNDS[field.cpp_type]
        number = rng.choice(_NUMBERS) if rng.random() < 0.8 else rng.randint(low, high)
        return min(high, max(low, number))

    def _change_bytes(self, content: bytes) -> bytes:
        return change_bytes(self._rng, content)


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip, cut, double, insert: a few times."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randint(1, 8)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                changed[at:at] = changed[at : at + rng.randint(1, 64)]
            case _:
                changed[at:at] = rng.choice([b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x0c", b"\0"])
    return bytes(changed)


def change_text(rng: random.Random, text: str) -> str:
    """Do the same to a text that people write, with words of its own put elsewhere."""
    if rng.random() < 0.5:
        return change_bytes(rng, text.encode()).decode(errors="replace")
    words = text.split(" ")
    for _ in range(rng.randint(1, 3)):
        words[rng.randrange(len(words))] = rng.choice([*_TEXTS, *words])
    return " ".join(words)
