"""A disk outlives the process that uses it, and may be the end of it.

A disk is a SQLite database in memory. The process that writes to it can be killed at
any statement of a transaction, COMMIT included; what it had not committed is then torn
off, by SQLite's own rollback. What a power cut leaves of a COMMIT is another story, for
which there must be a file: tests/power_loss tells it.
"""

from collections.abc import Callable, Mapping

import apsw


class Killed(Exception):
    """The process dies here."""


def make_image(schema: str, fill: Callable[[apsw.Connection], None] = lambda _: None) -> bytes:
    """Make a database once, for many disks to start from."""
    connection = apsw.Connection(":memory:")
    connection.execute(schema)
    fill(connection)
    return connection.serialize("main")


class Disk:
    """One database. ``connection`` is what stores are given."""

    def __init__(self, image: bytes) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.deserialize("main", image)
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
        self._image = {name: self.rows(f"SELECT * FROM {name}") for (name,) in tables}

    def restore(self) -> None:
        """Have it hold its image again: what SQLite knows of it by now is worth more than a new one."""
        self.tear_off()
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        self.connection.execute("BEGIN")
        for name, rows in self._image.items():
            self.connection.execute(f"DELETE FROM {name}")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                self.connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        self.connection.execute("COMMIT")
        self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)

    def arm(self, statement: int) -> None:
        """Have the process die at its n-th writing statement from now."""
        left = statement

        def count(_cursor: object, sql: str, _bindings: object) -> bool:
            nonlocal left
            left -= not sql.startswith("SELECT")
            if left < 0:
                raise Killed
            return True

        self.connection.exec_trace = count

    def disarm(self) -> None:
        """Let the process live."""
        self.connection.exec_trace = None

    def tear_off(self) -> None:
        """Undo what a dead process has not committed."""
        # Not while it dies: SQLite is in the middle of calling what would be taken away.
        self.disarm()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def rows(self, query: str) -> list[tuple]:
        """Read, past every store."""
        return self.connection.execute(query).fetchall()


class Shelf:
    """Disks that are not in use, by the name of what they are for; ``images`` is what they begin with."""

    def __init__(self, images: Mapping[str, bytes]) -> None:
        self._images = images
        self._disks: dict[str, list[Disk]] = {name: [] for name in images}

    def take(self) -> dict[str, Disk]:
        """Return a disk for each name."""
        return {name: self._take(name) for name in self._images}

    def put_back(self, disks: Mapping[str, Disk]) -> None:
        """Take disks back that nobody uses any more."""
        for name, disk in disks.items():
            disk.restore()
            self._disks[name].append(disk)

    def _take(self, name: str) -> Disk:
        disks = self._disks[name]
        return disks.pop() if disks else Disk(self._images[name])
