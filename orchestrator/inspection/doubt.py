"""What banks hold in doubt, asked of each bank itself; what the gateway says of it; and how people settle it."""

from collections.abc import Collection, Sequence

from interbank.v1 import bank_pb2, operator_pb2

from nodes.client import GatewayAway, NotFound
from nodes.core.violations import parse_payment_id
from orchestrator.inspection.operator_line import call_bank, call_gateway
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder

Held = tuple[str, bank_pb2.HoldRecord, str]
"""(bank, what it holds, what the gateway says of it)."""


class BankUnknown(Exception):
    """The cluster has no such bank."""


def list_in_doubt(folder: ClusterFolder) -> tuple[list[Held], dict[str, str]]:
    """Return all that banks hold, and which banks cannot be asked, with the reason."""
    config = load(folder.config)
    held: list[tuple[str, bank_pb2.HoldRecord]] = []
    silent: dict[str, str] = {}
    for name in config.banks:
        try:
            with call_bank(config, folder, name) as bank:
                held += [(name, hold) for hold in bank.in_doubt()]
        except GatewayAway:
            silent[name] = "it does not answer"
    return [(bank, hold, said) for (bank, hold), said in zip(held, _judge(folder, held), strict=True)], silent


def _judge(folder: ClusterFolder, held: Sequence[tuple[str, bank_pb2.HoldRecord]]) -> list[str]:
    if not held:
        return []
    try:
        with call_gateway(load(folder.config), folder) as gateway:
            return gateway.judge_in_doubt([hold.key for _, hold in held])
    except GatewayAway as error:
        return [f"cannot be asked: {error}"] * len(held)


def ask_gateway(folder: ClusterFolder, banks: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Have banks ask now, all if none is named; return how many each asked about, and had answered."""
    config = load(folder.config)
    for name in banks:
        _demand_bank(name, config.banks)
    counts = {}
    for name in banks or config.banks:
        with call_bank(config, folder, name) as bank:
            counts[name] = bank.ask_gateway()
    return counts


def resolve_in_doubt(
    folder: ClusterFolder, bank: str, payment_id: str, *, is_commit: bool, who: str, why: str
) -> list[str]:
    """Settle what ``bank`` holds under a payment id; return whose payments that were.

    Raises `nodes.client.ClientError` with what speaks against it.
    """
    config = load(folder.config)
    _demand_bank(bank, config.banks)
    wanted = parse_payment_id(payment_id)
    with call_bank(config, folder, bank) as holder, call_gateway(config, folder) as gateway:
        keys = [hold.key for hold in holder.in_doubt() if hold.key.payment_id == wanted]
        if not keys:
            raise NotFound(f"{bank} holds no payment {payment_id} in doubt")
        for key in keys:
            gateway.resolve_in_doubt(
                operator_pb2.ResolveInDoubtRequest(bank=bank, transaction=key, commit=is_commit, who=who, why=why)
            )
        holder.ask_gateway()
    return [key.payer for key in keys]


def _demand_bank(name: str, banks: Collection[str]) -> None:
    if name not in banks:
        raise BankUnknown(f"there is no bank {name}; there are {', '.join(banks)}")
