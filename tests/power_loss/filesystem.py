"""Files in memory that remember every write and every sync, as a VFS of SQLite.

Only what SQLite asks of a database in WAL mode with an exclusive lock is here; there is
no shared memory then. Sectors and promises are those of SQLite's own VFS for Unix.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import apsw

SECTOR_BYTES = 512
_NAME = "recorded"


class Operation(NamedTuple):
    """What was asked of a file: ``create``, ``write``, ``truncate``, ``sync`` or ``delete``."""

    kind: str
    file: str
    offset: int = 0
    content: bytes = b""


class FileSystem:
    """Files by name, and all that was done to them."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {name: bytearray(content) for name, content in (files or {}).items()}
        self.operations: list[Operation] = []

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Let every database that is opened meanwhile live here."""
        vfs = _Vfs(self)
        try:
            yield
        finally:
            vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, filesystem: FileSystem) -> None:
        super().__init__(_NAME, "", makedefault=True)
        self._filesystem = filesystem

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, name: str, _flags: int) -> bool:
        return name in self._filesystem.files

    def xDelete(self, name: str, _sync_folder: bool) -> None:
        self._filesystem.operations.append(Operation("delete", name))
        self._filesystem.files.pop(name, None)

    def xOpen(self, name: Any, _flags: list[int]) -> "_File":
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _File(self._filesystem, path or "a nameless file")


class _File:
    def __init__(self, filesystem: FileSystem, name: str) -> None:
        self._name = name
        self._operations = filesystem.operations
        if name not in filesystem.files:
            self._operations.append(Operation("create", name))
        self._content = filesystem.files.setdefault(name, bytearray())

    def xRead(self, size: int, offset: int) -> bytes:
        return bytes(self._content[offset : offset + size])

    def xWrite(self, content: bytes, offset: int) -> None:
        self._operations.append(Operation("write", self._name, offset, bytes(content)))
        write(self._content, offset, content)

    def xTruncate(self, size: int) -> None:
        self._operations.append(Operation("truncate", self._name, size))
        truncate(self._content, size)

    def xSync(self, _flags: int) -> None:
        self._operations.append(Operation("sync", self._name))

    def xFileSize(self) -> int:
        return len(self._content)

    def xClose(self) -> None:
        pass

    def xLock(self, _level: int) -> None:
        pass

    def xUnlock(self, _level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, _operation: int, _pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


def write(content: bytearray, offset: int, new: bytes) -> None:
    """Write as a file does: a gap before it is zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(new)] = new


def truncate(content: bytearray, size: int) -> None:
    """Cut off, or fill up with zeros."""
    del content[size:]
    content.extend(bytes(size - len(content)))
