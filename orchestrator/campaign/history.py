"""What clients did and were told, written down as it happens; the evidence that the judge goes by.

A line is one `Attempt` at a payment, from its sending to its answer, or one `Look` at an
account or a payment. It is in the file as soon as the method returns (in the kernel's
hands: a killed process keeps it, a power cut need not).
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

COMMITTED, DECLINED = "committed", "declined"
UNKNOWN = "unknown"
"""No answer, or one that says nothing of the outcome."""
REFUSED = "refused"
"""The id was used for another payment; nothing was changed."""
OUTCOMES = (COMMITTED, DECLINED)


@dataclass(frozen=True, slots=True)
class Request:
    """A payment as it is asked for."""

    user: str
    payment_id: str
    payer: str
    payee: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One send of a request and what came back. ``is_mutated``: under a used id, with another body, on purpose."""

    client: str
    request: Request
    sent_s: float
    ended_s: float
    outcome: str
    detail: str = ""
    is_mutated: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A number that was read, and within what it must be, by what this client had been told before."""

    client: str
    what: str
    at_s: float
    found: int
    at_least: int
    at_most: int

    @property
    def is_consistent(self) -> bool:
        """Whether it agrees with what the client knew."""
        return self.at_least <= self.found <= self.at_most


class Recorder:
    """Writes lines for many threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()
        self.lines: list[Attempt | Look] = []

    def write(self, line: Attempt | Look) -> None:
        """Keep one line; once it is closed nothing more is taken, from callers that have been given up."""
        with self._lock:
            if self._file.closed:
                return
            self.lines.append(line)
            self._file.write(json.dumps(asdict(line)) + "\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def read(paths: Iterable[Path]) -> list[Attempt | Look]:
    """Return the lines of all files; a last line that its writer was killed over is left out."""
    lines: list[Attempt | Look] = []
    for path in paths:
        for text in path.read_text().splitlines():
            try:
                fields: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            lines.append(_read_line(fields))
    return lines


def _read_line(fields: dict[str, Any]) -> Attempt | Look:
    if "request" not in fields:
        return Look(**fields)
    return Attempt(**{**fields, "request": Request(**fields["request"])})
