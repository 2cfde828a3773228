"""The database file: what is counted as a commit is an fsync of the log."""

from pathlib import Path

import apsw
import pytest

from nodes.runtime.database import CommitCount, insert_rows, open_database, select_in

SCHEMA = "CREATE TABLE kept (number INTEGER) STRICT"


class SyncCounter(apsw.VFS):
    """A file system that counts how often a write-ahead log is synced."""

    def __init__(self) -> None:
        super().__init__("counting", "", makedefault=True)
        self.log_syncs = 0

    def xOpen(self, name, flags):
        return _CountedFile(self, name, flags)


class _CountedFile(apsw.VFSFile):
    def __init__(self, counter: SyncCounter, name, flags) -> None:
        super().__init__("unix", name, flags)
        self._counter = counter
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xSync(self, flags):
        self._counter.log_syncs += self._is_log
        return super().xSync(flags)


@pytest.fixture
def syncs():
    counter = SyncCounter()
    yield counter
    counter.unregister()


def test_a_database_is_for_its_owner_alone_and_an_older_one_is_mended(tmp_path):
    path = tmp_path / "x.db"
    open_database(path, SCHEMA, 1).close()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    connection = open_database(path, SCHEMA, 1)
    connection.execute("INSERT INTO kept VALUES (1)")
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    connection.close()
    assert modes == {"x.db": 0o600, "x.db-wal": 0o600}


def test_a_log_that_another_process_removes_meanwhile_is_no_trouble(tmp_path, monkeypatch):
    path = tmp_path / "outbox.db"
    open_database(path, SCHEMA, 1).close()
    # It was there when it was looked for, and is not there any more.
    monkeypatch.setattr(Path, "exists", lambda _: True)
    open_database(path, SCHEMA, 1).close()


def test_each_commit_that_is_counted_is_one_sync_of_the_log(tmp_path, syncs):
    connection = open_database(tmp_path / "kept.db", SCHEMA, 1)
    commits, before = CommitCount(connection), syncs.log_syncs
    for number in range(20):
        with connection:
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
    connection.execute("SELECT count(*) FROM kept").fetchall()
    assert commits.total == 20
    assert syncs.log_syncs - before == 20
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 75, 512, 1100])
def test_each_of_any_number_of_keys_is_looked_up_once(count):
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE kept (name BLOB PRIMARY KEY) STRICT")
    keys = [number.to_bytes(16, "big") for number in range(count)]
    insert_rows(connection, "INSERT INTO kept", [(key,) for key in [*keys, b"another"]])
    found = select_in(connection, "SELECT name FROM kept WHERE name IN", keys)
    assert sorted(found) == [(key,) for key in keys]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 15, 16, 17, 100])
def test_rows_are_inserted_each_once_in_their_order(count):
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, name TEXT, half REAL) STRICT")
    rows = [(None, f"name {number}", number / 2) for number in range(count)]
    insert_rows(connection, "INSERT INTO kept", rows)
    assert connection.execute("SELECT name, half FROM kept ORDER BY number").fetchall() == [
        row[1:] for row in rows
    ]
