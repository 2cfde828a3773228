"""What is paid at: a cluster that is up, who pays, and between which banks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.core.audit import Report
from orchestrator.benchmark.loads import Load
from orchestrator.benchmark.orders import Order
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder

_WARM_UP_SHARE = 0.1
_WARM_UP_MIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster that serves, and who pays there. Without ``payees``, each pays between their own accounts."""

    config: ClusterConfig
    folder: ClusterFolder
    payers: list[str]
    payees: int
    banks: list[str]
    password: str = field(repr=False)
    audit: Callable[[], Report]
    """Compares all records there, after the load. Nothing may be asked of the cluster afterwards."""

    def order(self, load: Load, for_s: float) -> Order:
        """Return what a generator is to do for this load."""
        return Order(
            address=self.config.gateway.address,
            ca=str(self.folder.ca_certificate),
            certificate=str(self.folder.shell_certificate),
            key=str(self.folder.shell_key),
            payers=self.payers,
            payees=self.payees,
            banks=self.banks,
            password=self.password,
            call=load.call,
            callers=load.callers,
            batch=load.batch,
            currency=self.config.currency,
            warm_up_s=max(_WARM_UP_MIN_S, for_s * _WARM_UP_SHARE),
            for_s=for_s,
        )
