"""The files as a power cut may leave them.

What was synced is there. Of what was written to a file since its last sync, each sector
is there or not. Files are created and deleted in their folder, which is synced with the
first sync of a new log or journal: until then a new file may not be there, and a deleted
one may be there again, whole.
"""

from collections.abc import Iterator
from random import Random

from tests.power_loss.filesystem import SECTOR_BYTES, Operation, truncate, write
from tests.power_loss.recording import Recording


class _Disk:
    """What is durable, what is not yet, and which deleted files may come back."""

    def __init__(self, start: dict[str, bytes]) -> None:
        self.durable = {name: bytearray(content) for name, content in start.items()}
        self.pending: dict[str, list[Operation]] = {name: [] for name in start}
        self.new: set[str] = set()
        self.deleted: dict[str, bytearray] = {}

    def take(self, operation: Operation) -> None:
        """Follow what was done to the files."""
        name = operation.file
        match operation.kind:
            case "create":
                self.pending[name] = []
                self.new.add(name)
            case "delete":
                # What had not reached the disk by then never will.
                self.pending.pop(name, None)
                self.new.discard(name)
                if name in self.durable:
                    self.deleted[name] = self.durable.pop(name)
            case "sync":
                self._sync(name)
            case _:
                self.pending[name].append(operation)

    def _sync(self, name: str) -> None:
        content = self.durable.setdefault(name, bytearray())
        for earlier in self.pending[name]:
            _apply(content, earlier)
        self.pending[name] = []
        if name in self.new and name.endswith(("-wal", "-journal")):
            self.deleted.clear()
        self.new.discard(name)


def cut_power(recording: Recording, at: int, random: Random) -> dict[str, bytes]:
    """Return the files after the power failed behind the operation number ``at``."""
    disk = _Disk(recording.start)
    for operation in recording.operations[:at]:
        disk.take(operation)
    files = {name: bytearray(content) for name, content in disk.durable.items()}
    for name, content in disk.deleted.items():
        if name not in files and random.random() < 0.5:
            files[name] = content
    for name, operations in disk.pending.items():
        if name in disk.new:
            if name in files or random.random() < 0.5:
                continue
            files[name] = bytearray()
        for operation in _choose(operations, random):
            _apply(files[name], operation)
    return {name: bytes(content) for name, content in files.items()}


def _choose(operations: list[Operation], random: Random) -> Iterator[Operation]:
    """Yield the parts of some writes that reached the disk: of all, none, the first few, or here and there."""
    kept = random.choice((0.0, 1.0, 0.5, 0.9))
    until = random.randrange(len(operations) + 1) if random.random() < 0.5 else len(operations)
    for number, operation in enumerate(operations[: until + 1]):
        is_torn = number == until
        if operation.kind == "truncate":
            if random.random() < kept:
                yield operation
            continue
        for start in range(0, len(operation.content), SECTOR_BYTES):
            if random.random() < (0.5 if is_torn else kept):
                part = operation.content[start : start + SECTOR_BYTES]
                yield operation._replace(offset=operation.offset + start, content=part)


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        truncate(content, operation.offset)
    else:
        write(content, operation.offset, operation.content)
