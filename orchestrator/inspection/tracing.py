"""Gathers all that is known of one payment: from outbox, gateway, banks, every log and the supervisor."""

import re

from interbank.v1 import operator_pb2 as pb

from nodes.client import GatewayAway, NotFound, Outbox
from orchestrator.inspection.explanation import Evidence
from orchestrator.inspection.log_lines import Filter, read_last
from orchestrator.inspection.operator_line import call_bank, call_gateway
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder

_LINES_MAX = 1000
_EVENTS_MAX = 10_000
_OF_BANKS = re.compile(r'"event": ?"(bank_away|bank_connected|started)"')


def gather_evidence(config: ClusterConfig, folder: ClusterFolder, payment_id: str) -> list[Evidence]:
    """Return what is known of a payment id, by each user who used it.

    Raises `nodes.client.ClientError` if the id is not one, `PaymentUnknown` if nothing knows it.
    """
    traces, silent = _ask_gateway(config, folder, payment_id)
    if silent or not traces:
        banks, more = _ask_banks(config, folder, payment_id)
        silent |= more
    else:
        banks = [bank for trace in traces for bank in trace.banks]
        silent = {bank.bank: bank.error for bank in banks if bank.error}
    sent = [item for item in Outbox(folder.outbox).all_items() if item.request.payment_id == payment_id]
    items = {item.user: item for item in sent}
    lines = read_last(folder.logs, ["shell", "gateway", *config.banks], Filter(payment_id=payment_id), _LINES_MAX)
    events = [
        *read_last(folder.logs, ["supervisor"], Filter(), _EVENTS_MAX),
        *read_last(folder.logs, ["gateway"], Filter(pattern=_OF_BANKS), _EVENTS_MAX),
    ]
    by_payer = {trace.payment.payer_account.partition("@")[0]: trace for trace in traces}
    payers = {known.key.payer for bank in banks for known in bank.transactions}
    users = {*by_payer, *items, *payers}
    if not users:
        raise PaymentUnknown(f"neither gateway, banks nor the outbox know a payment {payment_id}")
    return [
        Evidence(payment_id, items.get(user), by_payer.get(user), _of_payer(banks, user), silent, lines, events)
        for user in sorted(users)
    ]


class PaymentUnknown(Exception):
    """Nothing that was asked knows the payment."""


def _ask_gateway(
    config: ClusterConfig, folder: ClusterFolder, payment_id: str
) -> tuple[list[pb.PaymentTrace], dict[str, str]]:
    """Return the gateway's traces, and why it could not be asked, if so."""
    try:
        with call_gateway(config, folder) as gateway:
            return list(gateway.show_payment(payment_id).traces), {}
    except NotFound:
        return [], {}
    except GatewayAway as error:
        return [], {"gateway": str(error)}


def _ask_banks(
    config: ClusterConfig, folder: ClusterFolder, payment_id: str
) -> tuple[list[pb.BankTrace], dict[str, str]]:
    """Return what each bank has on record, past the gateway, and which could not be asked."""
    traces, silent = [], {}
    for name in config.banks:
        try:
            with call_bank(config, folder, name) as bank:
                traces.append(pb.BankTrace(bank=name, transactions=bank.transactions(payment_id)))
        except GatewayAway:
            silent[name] = "it does not answer"
    return traces, silent


def _of_payer(banks: list[pb.BankTrace], payer: str) -> list[pb.BankTrace]:
    """Keep what concerns one payer's use of the id."""
    own = [(bank.bank, [known for known in bank.transactions if known.key.payer == payer]) for bank in banks]
    return [pb.BankTrace(bank=name, transactions=known) for name, known in own if known]
