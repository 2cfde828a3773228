"""A disk outlives the process that uses it, and may be the end of it.

A disk is a SQLite database in memory. The process that writes to it can be killed at
any statement of a transaction, COMMIT included; what it had not committed is then torn
off, by SQLite's own rollback. What a power cut leaves of a COMMIT is another story, for
which there must be a file: tests/power_loss tells it.
"""

from collections.abc import Callable

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
