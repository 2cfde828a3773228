"""Reads the records of nodes that have stopped from their database files, for an audit; changes nothing.

A file that a process still has open is locked, and said to be in use.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from nodes.core.books import BankBooks, Chain, GatewayBooks, Page
from nodes.core.chain import Head, Heard
from nodes.core.ledger import Account, Hold
from nodes.core.messages import Contradiction
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution
from nodes.runtime.database import DatabaseUnusable
from nodes.runtime.pages import RECORDS_PAGE


@contextmanager
def open_books(gateway: Path, banks: Mapping[str, Path]) -> Iterator[tuple[GatewayBooks, list[BankBooks]]]:
    """Open the gateway's file and each bank's; what is read is valid until the end of the block.

    Raises `nodes.runtime.database.DatabaseUnusable`.
    """
    with _open(gateway) as file, open_banks(banks) as opened:
        yield _read_gateway(file), opened


@contextmanager
def open_banks(banks: Mapping[str, Path]) -> Iterator[list[BankBooks]]:
    """Do the same for banks alone."""
    with ExitStack() as files:
        yield [_read_bank(name, files.enter_context(_open(path))) for name, path in sorted(banks.items())]


@contextmanager
def _open(path: Path) -> Iterator[apsw.Connection]:
    if not path.is_file():
        raise DatabaseUnusable(f"there is no database {path}: nothing can be said without it")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # Neither a checkpoint nor a shared-memory file: the evidence stays as it was found.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.pragma("locking_mode", "EXCLUSIVE")
            connection.pragma("query_only", True)
            yield connection
        finally:
            connection.close()
    except apsw.BusyError as error:
        raise DatabaseUnusable(
            f"{path} is in use: its node runs; audit the running cluster, or stop it"
        ) from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise DatabaseUnusable(f"{path} cannot be read as a node's database: {error}") from error


def _read_gateway(connection: apsw.Connection) -> GatewayBooks:
    resolutions = [
        (link, Resolution(*row)) for link, *row in _select(connection, "SELECT * FROM resolution ORDER BY link")
    ]
    recoveries = [Recovery(*row) for row in _select(connection, "SELECT * FROM recovery ORDER BY link")]
    contradictions = _select(connection, "SELECT payment_id, payer, epoch, said, recorded FROM contradiction")
    return GatewayBooks(
        epoch=next(_select(connection, "SELECT number FROM epoch"))[0],
        decisions=lambda: _select_pages(connection, "SELECT * FROM decision ORDER BY sequence"),
        contradictions=[Contradiction(*row) for row in contradictions],
        resolutions=[resolution for _, resolution in resolutions],
        chain=_read_chain(connection).with_acts(resolutions, recoveries),
        recoveries=recoveries,
    )


def _read_bank(name: str, connection: apsw.Connection) -> BankBooks:
    return BankBooks(
        name=name,
        accounts=[Account(*row) for row in _select(connection, "SELECT * FROM account")],
        holds=[Hold(*row) for _, *row in _select(connection, "SELECT * FROM hold")],
        entries=lambda: _select_pages(connection, "SELECT * FROM journal ORDER BY sequence"),
        chain=_read_chain(connection),
    )


def _read_chain(connection: apsw.Connection) -> Chain:
    heard = _select(connection, "SELECT link, node, number, hash FROM heard")
    return Chain(
        links=lambda: (Head(*row) for row in _select(connection, "SELECT * FROM link ORDER BY number")),
        heard=[(link, Heard(*row)) for link, *row in heard],
    )


def _select_pages(connection: apsw.Connection, query: str) -> Iterator[Page]:
    rows = _select(connection, query)
    while page := list(islice(rows, RECORDS_PAGE)):
        yield list(zip(*page, strict=True))


def _select(connection: apsw.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    return iter(connection.execute(query))
