"""One run of a subject: every operation on its files, and what its tables held after each step."""

from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.power_loss.filesystem import FileSystem, Operation
from tests.power_loss.subjects import Subject


class Mark(NamedTuple):
    """At ``operation``, a step had returned: its changes were acknowledged. ``state`` is what the tables held."""

    operation: int
    state: str


class Recording(NamedTuple):
    """What was on the disk at the start, what was done, and what had been acknowledged when.

    The first mark is that of a start that has acknowledged nothing: its state is what an
    open database holds before anything else is done.
    """

    start: dict[str, bytes]
    operations: list[Operation]
    marks: list[Mark]


def record(
    kind: type[Subject], path: Path, random: Random, *, steps: int, start: dict[str, bytes], synchronous: str
) -> Recording:
    """Run a subject from the files of ``start``; it is closed and opened again now and then."""
    filesystem = FileSystem(start)
    marks: list[Mark] = []
    with filesystem.mounted():
        subject = kind(path)
        try:
            # Nothing is acknowledged yet. What the start holds, an image of it must hold, too.
            marks.append(Mark(0, fingerprint(subject.rows())))
            subject.weaken(synchronous)
            subject.begin()
            for _ in range(steps):
                marks.append(Mark(len(filesystem.operations), fingerprint(subject.rows())))
                if random.random() < 0.03:
                    subject.close()
                    subject = kind(path)
                    subject.weaken(synchronous)
                    marks.append(Mark(len(filesystem.operations), fingerprint(subject.rows())))
                    subject.begin()
                else:
                    subject.step(random)
            marks.append(Mark(len(filesystem.operations), fingerprint(subject.rows())))
        finally:
            operations = list(filesystem.operations)
            subject.close()
    return Recording(start, operations, marks)


def fingerprint(rows: list[Any]) -> str:
    """Make rows comparable and small."""
    return blake2b(repr(rows).encode(), digest_size=16).hexdigest()
