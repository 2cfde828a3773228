"""What must be true after a crash, whatever it was: each check returns a line for each thing that is wrong."""

import time
from collections.abc import Iterable, Iterator

from nodes.client import Client, ClientError, Outbox, State
from nodes.core.audit import audit
from nodes.core.books import Told as OnRecord
from nodes.core.messages import Outcome
from nodes.core.violations import parse_payment_id
from nodes.runtime.book_files import open_books
from orchestrator.benchmark.books import find_faults
from orchestrator.inspection.operator_line import call_gateway
from orchestrator.matrix.ground import SHELL_USER, Ground
from orchestrator.matrix.load import Told

IN_DOUBT_MAX_S = 5.0


def find_money_faults(ground: Ground, acknowledged: int) -> list[str]:
    """Say what is wrong with the money, once payments pause."""
    with call_gateway(ground.config, ground.folder) as gateway:
        return find_faults(gateway, committed=0, acknowledged=acknowledged)


def find_lingering(ground: Ground) -> list[str]:
    """Say what a bank still holds in doubt, some time after payments pause."""
    ends_s = time.monotonic() + IN_DOUBT_MAX_S
    while True:
        with call_gateway(ground.config, ground.folder) as gateway:
            totals = gateway.collect_totals()
        lingering = [f"{bank.bank} holds {bank.in_doubt} in doubt" for bank in totals.banks if bank.in_doubt]
        lingering += [f"{bank} cannot be asked" for bank in totals.unavailable_banks]
        if not lingering or time.monotonic() > ends_s:
            return lingering
        time.sleep(0.05)


def find_lies(told: Iterable[Told], clients: dict[str, Client]) -> Iterator[str]:
    """Say what callers were told and is not so: by its id, or when it is sent again."""
    for each in told:
        client, payment_id = clients[each.user], each.request.payment_id
        known = each.result.outcome, each.result.reason
        try:
            view = client.payment(payment_id)
            again = client.pay(each.request)
        except ClientError as error:
            yield f"{each.user} was told {known} of {payment_id}, and now: {error}"
            continue
        if (view.outcome, view.reason) != known:
            yield f"{each.user} was told {known} of {payment_id}, and on record is {view.outcome} {view.reason}"
        if (again.outcome, again.reason, again.replayed) != (*known, True):
            yield f"{each.user} was told {known} of {payment_id}, and, sent again: {again}"


def find_shell_faults(ground: Ground, memo: str, said: str) -> Iterator[str]:
    """Say what a shell that crashed has lost, paid twice, never ended or told badly: of payments with ``memo``."""
    if "Traceback" in said:
        yield "a shell shows a traceback"
    items = [item for item in Outbox(ground.folder.outbox).items(SHELL_USER, 10_000) if item.request.memo == memo]
    with ground.connect(SHELL_USER) as client:
        paid = [view for view in client.payments(500).payments if view.memo == memo]
    ends = {view.payment_id: view.outcome for view in paid}
    if len(paid) > 1:
        yield f"one payment of the shell was made {len(paid)} times"
    for item in items:
        payment_id, state = item.request.payment_id, item.state
        if not state.is_final:
            yield f"the outbox still has {payment_id} as {state.name.lower()}"
        wanted = ends.pop(payment_id, None)
        if (state.name.lower() if state in (State.COMMITTED, State.DECLINED) else None) != wanted:
            yield f"the outbox has {payment_id} as {state.name.lower()}, the gateway as {wanted}"
    yield from (f"{payment_id} was made, and the outbox does not have it" for payment_id in ends)


def audit_files(ground: Ground, told: Iterable[Told]) -> list[str]:
    """Compare the files of a cluster that is down with each other, and with all that was told."""
    folder = ground.folder
    banks = {bank: folder.database(bank) for bank in ground.config.banks}
    with open_books(folder.database("gateway"), banks) as (gateway, books):
        report = audit(gateway, books, map(_as_record, told))
    return [str(finding) for finding in report.findings]


def _as_record(told: Told) -> OnRecord:
    request = told.request
    return OnRecord(
        (parse_payment_id(request.payment_id), told.user),
        request.payer_account,
        request.payee_account,
        request.amount_minor,
        request.currency,
        Outcome[told.result.outcome.upper()],
    )
