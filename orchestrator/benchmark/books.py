"""The checks after a load: no money was made or lost, all that was acknowledged is on record, and all agrees."""

import time
from collections.abc import Callable, Iterator

from interbank.v1 import operator_pb2

from nodes.client import OperatorClient
from nodes.core.audit import Report
from orchestrator.benchmark.meter import Meter

_QUIET_WITHIN_S = 30.0
_RETRY_S = 0.05
_FINDINGS_SHOWN = 5


def find_open_faults(meter: Meter, *, committed: int, acknowledged: int) -> list[str]:
    """Return a line for each thing that the nodes' counters show to be wrong; reads no books, however long.

    ``committed`` is what the gateway had on record when the load began, ``acknowledged``
    how many payments the callers were told are committed since.
    """
    faults = []
    gives_up_s = time.monotonic() + _QUIET_WITHIN_S
    while (in_doubt := meter.count_in_doubt()) and time.monotonic() < gives_up_s:
        time.sleep(_RETRY_S)
    if in_doubt:
        faults.append(f"{in_doubt} transactions are still in doubt after {_QUIET_WITHIN_S:g} s")
    recorded = meter.count_committed() - committed
    if recorded < acknowledged:
        faults.append(f"{acknowledged} payments were acknowledged, and only {recorded} are on record")
    return faults


def find_faults(gateway: OperatorClient, *, committed: int, acknowledged: int) -> list[str]:
    """Return a line for each thing that is wrong; none when the books are clean.

    ``committed`` is what the gateway had on record when the load began, ``acknowledged``
    how many payments the callers were told are committed since.
    """
    totals = _wait_until_quiet(gateway)
    faults = [f"{bank.bank}: {fault}" for bank in totals.banks for fault in bank.faults]
    faults += [f"{bank} cannot be asked for its books" for bank in totals.unavailable_banks]
    faults += [f"{bank.bank} has {bank.in_doubt} in doubt" for bank in totals.banks if bank.in_doubt]
    faults += _find_imbalances(totals)
    recorded = gateway.status().gateway.committed - committed
    if recorded < acknowledged:
        faults.append(f"{acknowledged} payments were acknowledged, and only {recorded} are on record")
    return faults


def find_audit_faults(audit: Callable[[], Report]) -> list[str]:
    """Return a line for each of the first things that an audit finds, and how many more there are."""
    found = [str(finding) for finding in audit().findings]
    more = len(found) - _FINDINGS_SHOWN
    return [*found[:_FINDINGS_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _wait_until_quiet(gateway: OperatorClient) -> operator_pb2.CollectTotalsResponse:
    """Return the sums once all that was decided has reached the banks, or when that takes too long."""
    gives_up_s = time.monotonic() + _QUIET_WITHIN_S
    while True:
        totals = gateway.collect_totals()
        is_quiet = not totals.unavailable_banks and not any(bank.in_doubt for bank in totals.banks)
        if is_quiet or time.monotonic() > gives_up_s:
            return totals
        time.sleep(_RETRY_S)


def _find_imbalances(totals: operator_pb2.CollectTotalsResponse) -> Iterator[str]:
    sums = [each for bank in totals.banks for each in bank.totals]
    for currency in sorted({each.currency for each in sums}):
        own = [each for each in sums if each.currency == currency]
        owned = sum(each.customers_minor for each in own)
        paid_in = sum(each.paid_in_minor for each in own)
        due = sum(sum(each.due_to_minor.values()) for each in own)
        if owned != paid_in:
            yield f"customers own {owned} of the {paid_in} minor units of {currency} that were paid in"
        if due:
            yield f"what the banks owe each other adds up to {due} minor units of {currency}, not to 0"
