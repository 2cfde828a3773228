"""One SQLite file, opened so that what was committed survives a power cut.

Every node keeps its state in one database, opened by one connection and committed
once a turn. What is demanded here and asserted after opening:

- a library without the WAL-reset bug (fixed in 3.51.3), which apsw ships;
- WAL with synchronous=FULL: a commit returns after its fsync;
- an exclusive lock for as long as the file is open: a second opener is refused, so
  two processes can never serve the same books. The lock dies with its process.

An I/O error is fatal by design: the caller lets `apsw.Error` end the process, and
recovery is the next start. Nothing is retried on a connection that failed.

Source: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw

from nodes.runtime.crash_points import reach

_LIBRARY_MIN = (3, 51, 3)
_CHUNK_SIZES = (512, 64, 8, 1)
_ROWS_AT_ONCE = (16, 4, 1)
_CACHE_KIB = 32 * 1024
"""Keeps the accounts of some 100,000 users and the newest of each index in memory."""


DISK_FAILURES = (apsw.IOError, apsw.FullError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError)
"""After one of these a process cannot know what is durable: it must end, whoever asked for what failed."""


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether an error says, or was caused by one that says, that there is no room on the disk."""
    while error is not None:
        if isinstance(error, apsw.FullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


class DatabaseUnusable(Exception):
    """The file cannot be used; the message says which, why and what to do."""


class BooksAltered(DatabaseUnusable):
    """Somebody other than its program has changed the file: nothing in it can be served as true."""

    def __init__(self, path: Path, altered: Sequence[str]) -> None:
        more = f" (and {len(altered) - 1} more; `cluster audit --files` tells all)" if len(altered) > 1 else ""
        super().__init__(
            f"{path} was changed by others than its node, which refuses to serve it: {altered[0]}{more};"
            " restore it from a copy that is whole"
        )


def open_database(
    path: Path, schema: str, version: int, upgrades: Mapping[int, str] = MappingProxyType({})
) -> apsw.Connection:
    """Open (and the first time make) the database at ``path``, ready to commit durably.

    ``schema`` is run once, in one transaction, on a file that is new; ``version`` is
    kept in it (user_version) and must match ever after, or be one that ``upgrades`` has the
    statements for that make it ``version``. Raises `DatabaseUnusable`.
    """
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < _LIBRARY_MIN:
        raise DatabaseUnusable(
            f"SQLite {apsw.sqlite_lib_version()} can lose commits (WAL-reset bug); install apsw 3.51.3 or newer"
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_private(path)
        connection = apsw.Connection(str(path), statementcachesize=200)
        _demand_durability(connection)
        _prepare_schema(connection, path, schema, version, upgrades)
    except apsw.BusyError as error:
        raise DatabaseUnusable(f"{path} is in use by another process; stop that one first") from error
    except apsw.NotADBError as error:
        raise DatabaseUnusable(f"{path} is not a database: restore it from a copy or move it away") from error
    except (apsw.Error, OSError) as error:
        raise DatabaseUnusable(f"cannot open the database {path}: {error}") from error
    return connection


def _keep_private(path: Path) -> None:
    """Make the file for its owner alone, if it is not there, else mend its mode; the log beside it takes it over.

    Never opens one that is there: closing it again would drop the locks that this process holds on it.
    """
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        # Another process that shares an outbox may close it, and so remove its log, between any two looks.
        with suppress(FileNotFoundError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _demand_durability(connection: apsw.Connection) -> None:
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.pragma("foreign_keys", True)
    connection.pragma("trusted_schema", False)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", 1000)
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    found = connection.pragma("journal_mode"), connection.pragma("synchronous")
    if found != ("wal", 2):
        raise DatabaseUnusable(f"{connection.filename} gives journal mode and synchronous {found}, not ('wal', 2)")


def _prepare_schema(
    connection: apsw.Connection, path: Path, schema: str, version: int, upgrades: Mapping[int, str]
) -> None:
    # The first write takes the exclusive lock, so a second opener fails here and not later.
    connection.execute("BEGIN EXCLUSIVE")
    found = connection.pragma("user_version")
    statements = schema if found == 0 else upgrades.get(found)
    if statements is not None:
        connection.execute(statements)
        connection.pragma("user_version", version)
        reach("node.schema.uncommitted")
    connection.execute("COMMIT")
    if statements is None and found != version:
        raise DatabaseUnusable(
            f"{path} has schema version {found}, this program needs {version}; use the matching release"
        )


def sync_folder(folder: Path) -> None:
    """Make durable which files are in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class CommitCount:
    """Counts the transactions that a connection makes durable: each is one fsync of the write-ahead log."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.total = 0
        connection.set_commit_hook(self._count)

    def _count(self) -> bool:
        self.total += 1
        return False  # do not roll back


def select_in(connection: apsw.Connection, query: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query that ends in ``IN``, for any number of keys.

    One statement looks up to 512 keys up, at a fifth of the cost of one each; there are
    few sizes, so that few statements are compiled.
    """
    for start, size in _split(len(keys), _CHUNK_SIZES):
        marks = ", ".join("?" * size)
        yield from connection.execute(f"{query} ({marks})", keys[start : start + size])


def insert_rows(connection: apsw.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run ``into`` (``INSERT INTO table``) with all rows, which are equally long, in their order.

    Several are added by one statement, at two thirds of the cost of one each.
    """
    for start, size in _split(len(rows), _ROWS_AT_ONCE):
        values = tuple(chain.from_iterable(rows[start : start + size]))
        connection.execute(_write_insert(into, len(rows[0]), size), values)


def _split(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (start, size) of parts that ``count`` items fall into: of few sizes, the largest first."""
    start = 0
    while start < count:
        size = next(size for size in sizes if size <= count - start)
        yield start, size
        start += size


@lru_cache(maxsize=64)
def _write_insert(into: str, width: int, rows: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{into} VALUES {', '.join([row] * rows)}"
