"""All loads that were asked for, one after another; the first that fails its audit ends it."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.benchmark.loads import Load, Sizes, choose_loads
from orchestrator.benchmark.measuring import Result, measure
from orchestrator.benchmark.scratch import scratch_target
from orchestrator.benchmark.target import Target
from orchestrator.inspection.auditing import audit_running
from orchestrator.inspection.cluster_state import describe_nodes
from orchestrator.layout.accounts import read_users
from orchestrator.layout.config import load as load_config
from orchestrator.layout.folder import ClusterFolder

_HERE = ("one", "unary", "callers", "batch")
"""Loads that ask for nothing but a user with two accounts."""


class CannotMeasure(Exception):
    """A load was not begun; the message says why and what to do."""


class AuditFailed(Exception):
    """After a load the records do not agree; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to measure, and where: on clusters of its own below ``scratch``, or on ``here`` as ``user``."""

    names: tuple[str, ...]
    sizes: Sizes
    for_s: float
    scratch: Path
    here: ClusterFolder | None
    user: str

    def loads(self) -> list[Load]:
        """Return the loads, in the order they are run. Raises `CannotMeasure`."""
        strays = [name for name in self.names if self.here is not None and name not in _HERE]
        if strays:
            raise CannotMeasure(f"{strays[0]} needs a cluster of its own; leave --here out")
        return choose_loads(self.names or (_HERE if self.here is not None else ()), self.sizes)

    def open_target(self, load: Load) -> AbstractContextManager[Target]:
        """Return what gives the cluster for a load."""
        if self.here is None:
            return scratch_target(load, self.scratch)
        return _running_cluster(self.here, self.user)


def run(campaign: Campaign, say: Callable[[str], None]) -> Iterator[Result]:
    """Yield each load's result. Raises `AuditFailed` after one that has faults."""
    for load in campaign.loads():
        say(f"{load.title}: starting")
        with campaign.open_target(load) as target:
            result = measure(load, target, campaign.for_s, say)
            yield result
            if result.faults:
                raise AuditFailed(f"{load.title}: the audit has failed: {'; '.join(result.faults)}")


@contextmanager
def _running_cluster(folder: ClusterFolder, user: str) -> Iterator[Target]:
    """Give the cluster that runs in a folder; its user pays from one account of their own to the next."""
    config = load_config(folder.config)
    password = os.environ.get("CLUSTER_PASSWORD")
    if password is None:
        raise CannotMeasure(f"put the password of {user} into CLUSTER_PASSWORD")
    away = [node["name"] for node in describe_nodes(folder) if not node.get("is_ready")]
    if away:
        raise CannotMeasure(f"{', '.join(away)} not serving: `cluster up` first")
    banks = [bank for each in read_users(config) if each.name == user for bank in each.accounts]
    if len(banks) < 2:
        raise CannotMeasure(f"{user} needs accounts at two banks to pay between; see {config.users}")
    yield Target(config, folder, [user], 0, banks, password, lambda: audit_running(config, folder))
