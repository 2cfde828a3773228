"""JSON that people write: each mistake in it is told with its line and the path of its key.

The standard library says where the syntax breaks, but keeps the last of two equal
keys in silence and forgets where values stood. So a text that is sound is walked once
more, piece by piece, to note the line of every value and the keys that come twice.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
"""The way to a value: ``("users", 2, "role")``, written ``users[2].role``."""

_PIECE = re.compile(r'\n|"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_SHOWN_MAX = 40
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong; written ``12: users[2].role: must be ...``, to follow a file's name and a colon."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.line}: {where}{self.message}"


class JsonDocument:
    """A parsed text, and the ``mistakes`` that have been found in it so far.

    A text that is not JSON has the value None and that one mistake.
    """

    def __init__(self, text: str) -> None:
        self.value: Any = None
        self.mistakes: list[Mistake] = []
        self._lines: dict[KeyPath, int] = {}
        try:
            self.value = json.loads(text)
        except json.JSONDecodeError as error:
            self.mistakes = [Mistake(error.lineno, "", f"column {error.colno}: not JSON: {error.msg}")]
        except (ValueError, RecursionError):
            self.mistakes = [Mistake(1, "", "not JSON of a sensible size: a number or the nesting is too long")]
        else:
            self._note_lines(text)

    def refuse(self, path: KeyPath, message: str) -> None:
        """Record a mistake at ``path``; a value that is missing counts as where its parent begins."""
        known = path
        while known not in self._lines:
            known = known[:-1]
        self.mistakes.append(Mistake(self._lines[known], format_path(path), message))

    def members(
        self, path: KeyPath, value: object, required: Collection[str], optional: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the known members of an object; refuse unknown and missing ones, and what is no object."""
        known = [*required, *optional]
        if not isinstance(value, dict):
            self.refuse(path, f"must be an object with {', '.join(known)}, not {kind(value)}")
            return {}
        for key in value:
            if key not in known:
                self.refuse((*path, key), f"unknown key; known here: {', '.join(known)}")
        for key in required:
            if key not in value:
                self.refuse((*path, key), "is missing")
        return {key: value[key] for key in known if key in value}

    def _note_lines(self, text: str) -> None:
        line = 1
        path: list[str | int | None] = []  # the index or key in each open array or object; None: a key comes next
        for piece in _PIECE.findall(text):
            if piece == "\n":
                line += 1
            elif piece in "}]":
                path.pop()
            elif piece == ",":
                path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
            elif piece != ":":
                self._note_value(piece, path, line)

    def _note_value(self, piece: str, path: list[Any], line: int) -> None:
        if path and path[-1] is None:
            path[-1] = json.loads(piece)
            if tuple(path) in self._lines:
                self.refuse(tuple(path), f"is there twice; the second is in line {line}: keep one")
        self._lines.setdefault(tuple(path), line)
        if piece in "{[":
            path.append(None if piece == "{" else 0)


def read_json(text: str) -> Any:
    """Return the value of a JSON text; raises ValueError with its first mistake, an equal key included."""
    document = JsonDocument(text)
    if document.mistakes:
        raise ValueError(str(document.mistakes[0]))
    return document.value


def demand_text(value: object) -> str:
    """Return a text; raises TypeError for whatever else JSON may hold."""
    if not isinstance(value, str):
        raise TypeError(f"must be a text, not {kind(value)}")
    return value


def format_path(path: KeyPath) -> str:
    """Write the way to a value: ``users[2].role``; empty for the whole document."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            written += f".{step}"
        else:
            written += f"[{show(step)}]"
    return written.removeprefix(".")


def kind(value: object) -> str:
    """Say what sort of JSON a value is, without its content: ``a list``."""
    return _KINDS.get(type(value), "a number")


def show(value: object) -> str:
    """Write a plain value for a message, as JSON on one line, cut when long; of others only the kind."""
    if isinstance(value, dict | list):
        return kind(value)
    written = json.dumps(value)
    return written if len(written) <= _SHOWN_MAX else f"{written[:_SHOWN_MAX]}..."
