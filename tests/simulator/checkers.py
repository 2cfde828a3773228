"""What must hold, read from the disks and from what clients were told. Knows nothing of how it came about.

The invariants by their names in the literature: atomicity (TCConsistent in
TwoPhase.tla), stability of decisions, conservation of money, no overdraft, exactly
once, double entry, and that what was acknowledged is true after every process died.
"""

from collections.abc import Iterable

from nodes.bank.store import BankStore
from nodes.core.messages import Outcome
from nodes.gateway.store import GatewayStore
from tests.simulator.world import BANKS, OPENING_MINOR, USERS, World


class Violation(AssertionError):
    """An invariant does not hold."""


def check_safety(world: World) -> None:
    """Check all that must hold at every moment, whatever is under way."""
    gateway = GatewayStore(world.gateway_disk)
    banks = {name: BankStore(disk) for name, disk in world.bank_disks.items()}
    decisions = {decision.payment.key: decision for decision in gateway.decisions_since(0)}
    committed = {(*key, decision.epoch) for key, decision in decisions.items() if decision.is_committed}
    for name, store in (("gateway", gateway), *banks.items()):
        altered = store.find_alterations() + store.chain.find_breaks(whole=True)
        _demand(not altered, f"the records of {name} are chained as they were written", altered)
    _demand(not world.contradictions, "no two records contradict each other", world.contradictions)
    _demand(not world.broken_votes, "no bank votes yes on what it knows is aborted", world.broken_votes)
    for told in world.told.values():
        decision = decisions.get(told.payment.key)
        for payment, outcome in told.outcomes:
            _demand(
                decision is not None and decision.outcome is outcome and decision.payment == payment,
                "what a client was told is on the gateway's disk",
                (told, decision),
            )
    for name, bank in banks.items():
        _check_books(name, bank, committed)
    _check_conservation(banks.values(), committed)


def _check_books(name: str, bank: BankStore, committed: set[tuple[bytes, str, int]]) -> None:
    _demand(
        not bank.find_faults(), f"the sums of {name} are what its journal and holds fold to", bank.find_faults()
    )
    posted: set[tuple[bytes, str]] = set()
    for sequence, payment_id, payer, epoch, outcome, *_ in bank._execute("SELECT * FROM journal"):
        if payment_id is None:
            continue
        if outcome == Outcome.COMMITTED:
            _demand((payment_id, payer, epoch) in committed, f"{name} commits what was decided only", sequence)
            _demand((payment_id, payer) not in posted, f"{name} posts a payment once", sequence)
            posted.add((payment_id, payer))
        else:
            _demand((payment_id, payer, epoch) not in committed, f"{name} aborts nothing that committed", sequence)
    for user in USERS:
        account = bank.find_account(user)
        _demand(account is not None and account.available >= 0, f"nobody at {name} is overdrawn", user)


def _check_conservation(banks: Iterable[BankStore], committed: set[tuple[bytes, str, int]]) -> None:
    """Demand that what customers own, with what is posted at one bank and not yet at the other, was paid in."""
    owned = 0
    legs: dict[tuple[bytes, str], int] = {}
    for bank in banks:
        owned += sum(sums.customers for sums in bank.sum_accounts().values())
        for row in bank._execute("SELECT * FROM journal WHERE outcome = 2 AND payment_id IS NOT NULL"):
            _, payment_id, payer, _, _, _, debit, credit, amount_minor, *_ = row
            legs[payment_id, payer] = (
                legs.get((payment_id, payer), 0)
                + (amount_minor if not debit.startswith("@") else 0)
                - (amount_minor if not credit.startswith("@") else 0)
            )
    paid_in = OPENING_MINOR * len(USERS) * len(BANKS)
    on_the_way = sum(legs.values())
    _demand(owned + on_the_way == paid_in, "no money is made or lost", (owned, on_the_way, paid_in))


def check_liveness(world: World) -> None:
    """Check what must hold once faults have stopped and all has been delivered."""
    check_safety(world)
    gateway = GatewayStore(world.gateway_disk)
    decisions = {decision.payment.key: decision for decision in gateway.decisions_since(0)}
    for told in world.told.values():
        _demand(told.is_final, "every client has an answer in the end", told)
    owed: dict[tuple[str, str], int] = {}
    for name, disk in world.bank_disks.items():
        bank = BankStore(disk)
        _demand(not bank.holds(), f"nothing is in doubt at {name} in the end", bank.holds())
        for sums in bank.sum_accounts().values():
            for other, due_minor in sums.due_to.items():
                pair = min(name, other), max(name, other)
                owed[pair] = owed.get(pair, 0) + due_minor
        _check_legs(name, bank, decisions)
    _demand(not any(owed.values()), "what two banks say they owe each other is the same in the end", owed)


def _check_legs(name: str, bank: BankStore, decisions: dict) -> None:
    rows = bank._execute("SELECT payment_id, payer FROM journal WHERE outcome = 2 AND payment_id IS NOT NULL")
    posted = {(payment_id, payer) for payment_id, payer in rows}
    for key, decision in decisions.items():
        if decision.is_committed and name in decision.payment.banks:
            _demand(key in posted, f"{name} has posted its part of each payment that committed", decision)


def _demand(holds: bool, claim: str, evidence: object) -> None:
    if not holds:
        raise Violation(f"{claim}: {evidence}")
