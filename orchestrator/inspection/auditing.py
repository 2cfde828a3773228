"""The audit of one cluster: of its running nodes, or of the files that stopped ones left."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from nodes.client import Outbox, State, read_books
from nodes.core.audit import Report, audit
from nodes.core.books import Told
from nodes.core.messages import Outcome
from nodes.core.reconciliation import Finding
from nodes.core.violations import parse_payment_id
from nodes.runtime.book_files import open_books
from orchestrator.inspection.operator_line import call_bank, call_gateway
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder

_LOOKS = 3
_OUTCOMES = {
    State.COMMITTED: Outcome.COMMITTED,
    State.DECLINED: Outcome.DECLINED,
    State.EXPIRED: None,
    State.CANCELLED: None,
}
"""What the end of an item claims; of others nothing is claimed, or nothing yet."""


def audit_files(folder: ClusterFolder, banks: Iterable[str], outbox: Path | None = None) -> Report:
    """Audit the database files of a cluster that has stopped, without changing them.

    Raises `nodes.runtime.database.DatabaseUnusable` for a file that is missing, in use or not readable.
    """
    paths = {bank: folder.database(bank) for bank in banks}
    with open_books(folder.database("gateway"), paths) as (gateway, opened):
        return audit(gateway, opened, read_told(outbox) if outbox else [])


def audit_running(config: ClusterConfig, folder: ClusterFolder, outbox: Path | None = None) -> Report:
    """Audit a cluster while it works; raises `nodes.client.ClientError` while a node is away.

    What is found is looked at again, at another cut: only what is found each time is reported.
    """
    with ExitStack() as lines:
        gateway = lines.enter_context(call_gateway(config, folder))
        banks = {name: lines.enter_context(call_bank(config, folder, name)) for name in config.banks}

        def look() -> Report:
            # The outbox first: what was told before a cut is on record at the cut.
            told = read_told(outbox) if outbox else []
            with read_books(gateway, banks) as books:
                return audit(*books, told)

        return look_again(look)


def look_again(look: Callable[[], Report]) -> Report:
    """Return a report of what is found at each of several looks; a clean one ends it at once."""
    report = look()
    for _ in range(_LOOKS - 1):
        if not report.findings:
            break
        found = {_what(finding) for finding in report.findings}
        report = look()
        report = report._replace(findings=[each for each in report.findings if _what(each) in found])
    return report


def _what(finding: Finding) -> tuple[object, ...]:
    """Name a finding without the sums in it, which change from look to look."""
    return finding.check, finding.node, finding.key


def read_told(outbox: Path) -> list[Told]:
    """Return what clients of this outbox were told for good."""
    return [
        Told(
            key=(parse_payment_id(item.request.payment_id), item.user),
            payer_account=item.request.payer_account,
            payee_account=item.request.payee_account,
            amount_minor=item.request.amount_minor,
            currency=item.request.currency,
            outcome=_OUTCOMES[item.state],
        )
        for item in Outbox(outbox).all_items()
        if item.state in _OUTCOMES
    ]
