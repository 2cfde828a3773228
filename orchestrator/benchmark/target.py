"""What is paid at: a cluster that is up, users to pay as, and the routes of their payments."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.benchmark.loads import Load
from orchestrator.benchmark.orders import Order
from orchestrator.config import ClusterConfig
from orchestrator.folder import ClusterFolder

_ROUTES = 5000
_WARM_UP_SHARE = 0.1
_WARM_UP_MIN_S = 0.5

Routes = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster that serves, and who pays there along which routes."""

    config: ClusterConfig
    folder: ClusterFolder
    routes: Routes
    """For each paying user (from account, to account)."""
    password: str = field(repr=False)

    def order(self, load: Load, for_s: float) -> Order:
        """Return what a generator is to do for this load."""
        return Order(
            address=self.config.gateway.address,
            ca=str(self.folder.ca_certificate),
            certificate=str(self.folder.shell_certificate),
            key=str(self.folder.shell_key),
            users=list(self.routes),
            password=self.password,
            call=load.call,
            callers=load.callers,
            batch=load.batch,
            currency=self.config.currency,
            routes=self.routes,
            warm_up_s=max(_WARM_UP_MIN_S, for_s * _WARM_UP_SHARE),
            for_s=for_s,
        )


def route_to_many(payers: Sequence[str], payees: Sequence[str], banks: Sequence[str], *, seed: int = 0) -> Routes:
    """Return routes from each payer to payees drawn by lot, always from one bank to another."""
    lot = random.Random(seed)  # noqa: S311 - a load, not a secret
    return {payer: [_draw(lot, payer, payees, banks) for _ in range(_ROUTES)] for payer in payers}


def _draw(lot: random.Random, payer: str, payees: Sequence[str], banks: Sequence[str]) -> tuple[str, str]:
    payer_bank, payee_bank = lot.sample(banks, 2)
    return f"{payer}@{payer_bank}", f"{lot.choice(payees)}@{payee_bank}"


def route_around(user: str, banks: Sequence[str]) -> Routes:
    """Return routes around a user's own accounts: what leaves one comes into the next, so none runs dry."""
    accounts = [f"{user}@{bank}" for bank in banks]
    return {user: list(zip(accounts, [*accounts[1:], accounts[0]], strict=True))}
