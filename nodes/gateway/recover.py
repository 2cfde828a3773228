"""Make the gateway's records anew from its banks' books: ``python -m nodes.gateway.recover --help``.

For when its file was lost, or is an old copy, so that banks have heard of more than it holds
and are not dealt with. No node may run. The file that is there, if any, is the beginning of the
new one, and is kept under another name. Nothing is changed before all has been made and audited.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nodes.core.audit import audit, check_journal
from nodes.core.books import BankBooks
from nodes.core.chain import Heard
from nodes.core.messages import Outcome
from nodes.core.names import is_user_name
from nodes.core.rebuilding import Rebuilt, Unrecoverable, rebuild
from nodes.core.recovery import RECORDS_LOST, Recovery, write_heads
from nodes.core.resolution import WHY_MAX, is_reason
from nodes.core.violations import format_payment_id
from nodes.gateway.heads import explain_told
from nodes.gateway.store import GatewayStore
from nodes.runtime.book_files import open_banks, open_books
from nodes.runtime.database import DatabaseUnusable, sync_folder

_SHOWN = 5


class Recovered(NamedTuple):
    """What was done: how many decisions were made anew, by outcome, what is unknown, and where the old file is."""

    committed: int
    declined: int
    unknown: list[str]
    epoch: int
    kept: str | None


def main() -> int:
    """Recover, and print what was done as JSON; return the exit code."""
    flags = _parse_flags()
    try:
        done = recover(flags.database, dict(flags.bank), flags.who, flags.why, is_trial=flags.dry_run)
    except (DatabaseUnusable, Unrecoverable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(done._asdict()) + "\n")
    return 0


def recover(database: Path, banks: Mapping[str, Path], who: str, why: str, *, is_trial: bool = False) -> Recovered:
    """Put a file that holds what the banks' books tell in the place of ``database``.

    With ``is_trial`` nothing is changed. Raises `DatabaseUnusable` and `Unrecoverable`.
    """
    made = database.with_name(f"{database.name}.recovering")
    try:
        with open_banks(banks) as books:
            _demand_sound(books)
            _remove(made)
            if database.exists():
                old = GatewayStore.open(database)
                old.copy_to(made)
                old.close()
            rebuilt = _write(made, books, who, why)
        _audit(made, banks)
        kept = None if is_trial else _put_in_place(made, database)
    finally:
        _remove(made)
    committed = sum(decision.outcome is Outcome.COMMITTED for decision in rebuilt.decisions)
    declined = len(rebuilt.decisions) - committed
    unknown = [
        f"payment {format_payment_id(each.payment_id)} of {each.payer}: {each.said}" for each in rebuilt.unknown
    ]
    return Recovered(committed, declined, unknown, rebuilt.epoch, str(kept) if kept else None)


def _remove(made: Path) -> None:
    """Remove what a recovery that did not come to its end has left, with its log."""
    for file in (made, made.with_name(f"{made.name}-wal"), made.with_name(f"{made.name}-shm")):
        file.unlink(missing_ok=True)


def _demand_sound(books: list[BankBooks]) -> None:
    found = [str(finding) for bank in books for finding in check_journal(bank)]
    if found:
        more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
        raise Unrecoverable(f"the banks' books are not whole: {'; '.join(found[:_SHOWN])}{more}")


def _write(made: Path, books: list[BankBooks], who: str, why: str) -> Rebuilt:
    """Make the records anew in a file that may hold the beginning of them."""
    store = GatewayStore.open(made)
    try:
        rebuilt = rebuild(store.decided_keys(), store.last_sequence(), books)
        heads = [told for bank in books if (told := _last_told(bank))]
        _demand_need(store, heads, rebuilt)
        follows = store.chain.head.number
        link = 1 + max([follows, *(head.number for head in heads)])
        recovery = Recovery(link, follows, who, why, time.time_ns() // 1000, write_heads(heads))
        for bank in books:
            if newest := bank.chain.newest():
                store.chain.hear(bank.name, newest)
        store.recover(recovery, rebuilt)
    finally:
        store.close()
    return rebuilt


def _last_told(bank: BankBooks) -> Heard | None:
    """Return the newest that a bank has on record of the gateway's chain, by the bank's name."""
    told = [heard for _, heard in sorted(bank.chain.heard) if heard.node == "gateway"]
    return told[-1]._replace(node=bank.name) if told else None


def _demand_need(store: GatewayStore, heads: list[Heard], rebuilt: Rebuilt) -> None:
    """Refuse a file that is the newest: what banks hold in doubt has its answer there."""
    recoveries = store.recoveries()
    differs = any(explain_told(store.chain, recoveries, head.node, head) for head in heads)
    has_lost = any(decision.outcome is Outcome.COMMITTED for decision in rebuilt.decisions)
    if not differs and not has_lost and rebuilt.epoch <= store.epoch():
        raise Unrecoverable("the gateway's file is no older than its banks' books: there is nothing to recover")


def _audit(made: Path, banks: Mapping[str, Path]) -> None:
    with open_books(made, dict(banks)) as books:
        found = [str(each) for each in audit(*books).findings if RECORDS_LOST not in each.said]
    if found:
        raise Unrecoverable(f"what the books tell does not fit: {'; '.join(found[:_SHOWN])}")


def _put_in_place(made: Path, database: Path) -> Path | None:
    """Replace the file in one step; return where the old one is kept."""
    kept = None
    if database.exists():
        kept = database.with_name(f"{database.name}.before-recovery-{time.time_ns()}")
        os.link(database, kept)
    made.replace(database)
    sync_folder(database.parent)
    return kept


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nodes.gateway.recover",
        description="Make the records of a gateway anew from the books of its banks. No node may run.",
        epilog="Memos are lost, and so are payments that were declined before any bank had heard of them.",
    )
    parser.add_argument("--database", type=Path, required=True, help="the gateway's file: lost, or an old copy")
    parser.add_argument(
        "--bank", nargs=2, action="append", required=True, metavar=("NAME", "DATABASE"), help="every bank there is"
    )
    parser.add_argument("--who", required=True, help="who says so; kept for ever")
    parser.add_argument("--why", required=True, help="why; kept for ever, and shown by every audit")
    parser.add_argument("--dry-run", action="store_true", help="only say what would come of it")
    flags = parser.parse_args()
    flags.bank = [(name, Path(path)) for name, path in flags.bank]
    if not is_user_name(flags.who):
        parser.error("--who: must be a name")
    if not is_reason(flags.why):
        parser.error(f"--why: must be a line of 1 to {WHY_MAX} characters")
    return flags


if __name__ == "__main__":
    sys.exit(main())
