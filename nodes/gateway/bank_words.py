"""A bank is believed what it says of itself: of its own accounts, in currencies that there are.

What it is asked for beside payments is shown to customers and operators and added up with what
other banks say; so one that speaks in another's name, or in words that nothing can be made of, is
refused before that. Its payments are checked elsewhere (`nodes.core.soundness`).
"""

from collections.abc import Iterable

from interbank.v1 import bank_pb2 as pb

from nodes.core.money import EXPONENTS
from nodes.core.names import is_bank_name
from nodes.core.soundness import Unsound
from nodes.runtime.chain_messages import read_head


def demand_own_cut(bank: str, cut: pb.BankCut) -> None:
    """Raise `Unsound` unless a cut's answer can be that of ``bank``."""
    _demand_own("cut", bank, cut.bank)
    _demand_currencies("cut", [totals.currency for totals in cut.totals])
    if not all(is_bank_name(other) for totals in cut.totals for other in totals.due_to_minor):
        raise Unsound("cut: due_to_minor must name banks")
    read_head(cut.head)


def demand_own_balances(bank: str, user: str, response: pb.GetBalancesResponse) -> None:
    """Raise `Unsound` unless it is the one account at most that ``user`` has at ``bank``."""
    if any(balance.account != f"{user}@{bank}" for balance in response.balances) or len(response.balances) > 1:
        raise Unsound(f"balances: must be the one of {user} at {bank}")
    _demand_currencies("balances", [balance.currency for balance in response.balances])


def demand_own_totals(bank: str, response: pb.GetTotalsResponse) -> None:
    """Raise `Unsound` unless the sums can be those of ``bank``."""
    _demand_own("totals", bank, response.bank)
    _demand_currencies("totals", [totals.currency for totals in response.totals])


def _demand_own(what: str, bank: str, said: str) -> None:
    if said != bank:
        raise Unsound(f"{what}: {bank} speaks for {said[:40]!r}")


def _demand_currencies(what: str, currencies: Iterable[str]) -> None:
    found = list(currencies)
    if not EXPONENTS.keys() >= set(found) or len(set(found)) < len(found):
        raise Unsound(f"{what}: currencies must be ISO 4217 codes, each once")
