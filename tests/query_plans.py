"""How SQLite carries out what a store does: which statements walk through a whole table."""

from collections.abc import Callable
from typing import Any

import apsw


def find_scans(connection: apsw.Connection, work: Callable[[], object]) -> list[str]:
    """Do ``work`` and return those of its statements that read a table from end to end, or sort one."""
    statements: dict[str, Any] = {}

    def note(_: object, statement: str, bindings: Any) -> bool:
        statements[statement] = bindings
        return True

    connection.exec_trace = note
    try:
        work()
    finally:
        connection.exec_trace = None
    return [statement for statement, bindings in statements.items() if _scans(connection, statement, bindings)]


def _scans(connection: apsw.Connection, statement: str, bindings: Any) -> bool:
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)]
    walks = any(step.startswith("SCAN") and "CONSTANT" not in step for step in plan)
    sorts = any("TEMP B-TREE" in step for step in plan)
    return sorts or (walks and not statement.endswith("LIMIT 1"))
