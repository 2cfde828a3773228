"""What a load costs, by process: processor, memory, fsyncs and bytes written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from nodes.client import BankInspector, OperatorClient
from orchestrator.benchmark.target import Target
from orchestrator.inspection.cluster_state import describe_nodes
from orchestrator.inspection.operator_line import call_bank, call_gateway


class NodeRestarted(Exception):
    """A node ended during a load; the message says which."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment, since its start."""

    role: str
    """gateway, bank or generator."""
    cpu_s: float
    rss_bytes: int
    commits: int
    """Transactions made durable, each one fsync of the write-ahead log."""
    written_bytes: int
    """Handed to the disk."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One process during a load."""

    name: str
    role: str
    cpu_s: float
    rss_bytes: int
    """At the end."""
    commits: int
    written_bytes: int


class Meter:
    """Looks at the processes of a cluster that is up. Close it."""

    def __init__(self, target: Target) -> None:
        self._nodes: dict[str, tuple[psutil.Process, OperatorClient | BankInspector]] = {}
        for node in describe_nodes(target.folder):
            is_gateway = node["role"] == "gateway"
            line = (
                call_gateway(target.config, target.folder)
                if is_gateway
                else call_bank(target.config, target.folder, node["name"])
            )
            self._nodes[node["name"]] = psutil.Process(node["pid"]), line

    def close(self) -> None:
        """Hang up."""
        for _, line in self._nodes.values():
            line.close()

    def read(self, generator_pids: Sequence[int]) -> dict[str, Reading]:
        """Look at every process now. Raises `NodeRestarted`."""
        readings = {f"caller {n}": _read_generator(pid) for n, pid in enumerate(generator_pids, 1)}
        for name, (process, line) in self._nodes.items():
            status = line.status()
            if status.pid != process.pid:
                raise NodeRestarted(f"{name} was started again during the load; see its log")
            readings[name] = _read(process, status.role, status.commits)
        return readings

    def count_in_doubt(self) -> int:
        """Return how many transactions the banks hold in doubt, all together."""
        return sum(line.status().bank.in_doubt for _, line in self._nodes.values())

    def count_committed(self) -> int:
        """Return how many payments the gateway has on record as committed."""
        _, line = self._nodes["gateway"]
        return line.status().gateway.committed


def compare(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> list[Cost]:
    """Return what each process cost from one reading to the next: gateway, banks, generators."""
    order = ("gateway", "bank", "generator")
    names = sorted(after, key=lambda name: (order.index(after[name].role), name))
    return [_subtract(name, before[name], after[name]) for name in names]


def _subtract(name: str, before: Reading, after: Reading) -> Cost:
    return Cost(
        name=name,
        role=after.role,
        cpu_s=after.cpu_s - before.cpu_s,
        rss_bytes=after.rss_bytes,
        commits=after.commits - before.commits,
        written_bytes=after.written_bytes - before.written_bytes,
    )


def _read_generator(pid: int) -> Reading:
    return _read(psutil.Process(pid), "generator", 0)


def _read(process: psutil.Process, role: str, commits: int) -> Reading:
    with process.oneshot():
        spent = process.cpu_times()
        written_bytes = process.io_counters().write_bytes
        return Reading(role, spent.user + spent.system, process.memory_info().rss, commits, written_bytes)
