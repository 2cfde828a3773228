"""Results as if they had been measured."""

from collections import Counter

from orchestrator.benchmark.latencies import Latencies
from orchestrator.benchmark.loads import Sizes, choose_loads
from orchestrator.benchmark.measuring import Result
from orchestrator.benchmark.meter import Cost
from orchestrator.benchmark.orders import Tally

MB = 2**20


def make_result(name="unary", *, faults=(), **outcomes):
    """Return a load of 1,000 payments in 2 s, each of 10 ms but one of 80 ms."""
    latencies = Latencies()
    latencies.add(0.010, 999)
    latencies.add(0.080)
    tally = Tally(Counter({"committed": 1200, **outcomes}), latencies, Counter({0: 400, 19: 600}), 2.0)
    costs = [
        Cost("gateway", "gateway", 0.5, 90 * MB, 100, 1_000_000),
        Cost("BANK01", "bank", 0.2, 70 * MB, 150, 500_000),
        Cost("BANK02", "bank", 0.3, 75 * MB, 150, 500_000),
        Cost("caller 1", "generator", 0.1, 60 * MB, 0, 0),
    ]
    [load] = choose_loads([name], Sizes(batches=(1024,)))
    return Result(load, tally, costs, list(faults))
