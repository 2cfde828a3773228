"""One load, measured from its first payment to its audit."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from orchestrator.benchmark.books import find_audit_faults, find_open_faults
from orchestrator.benchmark.generators import Generators
from orchestrator.benchmark.loads import Load
from orchestrator.benchmark.meter import Cost, Meter, compare
from orchestrator.benchmark.orders import COMMITTED, MEASURED, MEASURING, READY, Tally
from orchestrator.benchmark.target import Target

_ENDS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one load."""

    load: Load
    tally: Tally
    costs: list[Cost]
    faults: list[str]
    """What the audit found, and what else was wrong; empty when all agrees."""

    @property
    def payments(self) -> int:
        """How many were committed within the time that counts."""
        return len(self.tally.latencies)

    @property
    def payments_per_s(self) -> float:
        """The rate."""
        return self.payments / self.tally.measured_s

    def cpu_us_per_payment(self, *roles: str) -> float:
        """Return the microseconds of processor that all processes of these roles took for each payment."""
        spent_s = sum(cost.cpu_s for cost in self.costs if cost.role in roles)
        return spent_s * 1e6 / self.payments if self.payments else 0.0

    @property
    def not_committed(self) -> dict[str, int]:
        """How many ended otherwise, and how."""
        return {outcome: count for outcome, count in self.tally.outcomes.items() if outcome != COMMITTED}


def measure(load: Load, target: Target, for_s: float, say: Callable[[str], None]) -> Result:
    """Put a load on a cluster, and audit it afterwards.

    Raises `GeneratorFailed`, `NodeRestarted` and `nodes.client.ClientError`.
    """
    order = target.order(load, for_s)
    with closing(Meter(target)) as meter, Generators([order]) as generators:
        say(f"{load.title}: logging in")
        generators.wait(READY)
        committed = meter.count_committed()
        generators.go()
        say(f"{load.title}: warming up")
        generators.wait(MEASURING, within_s=order.warm_up_s + _ENDS_WITHIN_S)
        before = meter.read(generators.pids)
        say(f"{load.title}: measuring for {for_s:g} s")
        generators.wait(MEASURED, within_s=for_s + _ENDS_WITHIN_S)
        after = meter.read(generators.pids)
        tally = generators.tally(within_s=_ENDS_WITHIN_S)
        faults = find_open_faults(meter, committed=committed, acknowledged=tally.outcomes[COMMITTED])
    say(f"{load.title}: auditing")
    faults += find_audit_faults(target.audit)
    return Result(load, tally, compare(before, after), faults)
