"""What must hold in every state of the small cluster."""

from nodes.core.messages import Outcome, Payment, Vote, VoteKind
from tests.model.nodes import BankState, GatewayState, Message

OPENING_MINOR = 200


def find_fault(gateway: GatewayState, banks: tuple[BankState, ...]) -> str:
    """Say what does not hold; empty if all does."""
    return (
        _find_untold(gateway)
        or _find_split(gateway, banks)
        or _find_lost_money(banks)
        or next(filter(None, map(_find_wrong_sums, banks)), "")
    )


def find_broken_promise(bank: BankState, said: list[Message]) -> str:
    """Say which yes that was said is not on the bank's disk, or no newer one."""
    known = [(entry.payment_id, entry.payer, entry.epoch) for entry in (*bank.disk.holds, *bank.disk.journal)]
    for message in said:
        vote = message.content
        if message.sender == bank.name and isinstance(vote, Vote) and vote.kind is VoteKind.YES:
            epochs = [epoch for *key, epoch in known if tuple(key) == vote[:2]]
            if max(epochs, default=0) < vote.epoch:
                return f"I4 {bank.name} said yes in epoch {vote.epoch} and has forgotten it"
    return ""


def is_at_rest(gateway: GatewayState, banks: tuple[BankState, ...], payments: tuple[Payment, ...]) -> bool:
    """Tell whether all has come to an end: each payment decided, nothing held."""
    decided = {decision.payment for decision in gateway.disk.decisions}
    return decided == set(payments) and not any(bank.disk.holds for bank in banks)


def _find_untold(gateway: GatewayState) -> str:
    recorded = {(decision.payment, decision.outcome) for decision in gateway.disk.decisions}
    return "I8 what a client was told is not on the gateway's disk" if gateway.told - recorded else ""


def _find_split(gateway: GatewayState, banks: tuple[BankState, ...]) -> str:
    committed = {
        (*decision.payment.key, decision.epoch) for decision in gateway.disk.decisions if decision.is_committed
    }
    for bank in banks:
        posted = [entry[:3] for entry in bank.disk.journal if entry.outcome is Outcome.COMMITTED]
        aborted = [entry[:3] for entry in bank.disk.journal if entry.outcome is not Outcome.COMMITTED]
        if not committed.issuperset(posted):
            return f"I2 {bank.name} has posted what was not decided"
        if committed.intersection(aborted):
            return f"I2 {bank.name} has aborted what was committed"
        if len({transaction[:2] for transaction in posted}) != len(posted):
            return f"I6 {bank.name} has posted a payment twice"
    return ""


def _find_lost_money(banks: tuple[BankState, ...]) -> str:
    owned = sum(row[2] for bank in banks for row in bank.disk.accounts if not row[0].startswith("@"))
    for bank in banks:
        for entry in bank.disk.journal:
            owned += entry.amount_minor * (not entry.debit_account.startswith("@"))
            owned -= entry.amount_minor * (not entry.credit_account.startswith("@"))
    return "" if owned == OPENING_MINOR else f"I1 money was made or lost: {owned}"


def _find_wrong_sums(bank: BankState) -> str:
    folded: dict[str, list[int]] = {row[0]: [0, 0, 0] for row in bank.disk.accounts}
    for row in bank.disk.accounts:
        if not row[0].startswith("@"):
            folded[row[0]][0] = 100
            folded["@paid-in/INR"][0] -= 100
    for entry in bank.disk.journal:
        if entry.amount_minor:
            folded[entry.debit_account][0] -= entry.amount_minor
            folded[entry.credit_account][0] += entry.amount_minor
    for hold in bank.disk.holds:
        folded[hold.debit_account][1] += hold.amount_minor
        folded[hold.credit_account][2] += hold.amount_minor
    is_right = all(list(row[2:]) == folded[row[0]] for row in bank.disk.accounts)
    return "" if is_right else f"I9 the accounts of {bank.name} are not what its journal folds to"
