"""A hand that alters a node's database file, past all that its triggers forbid."""

from pathlib import Path

import apsw


def alter(path: Path, *statements: str) -> None:
    """Carry statements out on a file that no process has open."""
    connection = apsw.Connection(str(path))
    triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()
