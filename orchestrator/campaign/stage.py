"""Where a campaign takes place: a cluster of its own, or the one that runs here and goes on afterwards.

In a cluster of its own there are users for every kind of caller. One that runs here is a test
cluster that somebody uses: one of its users pays between accounts of their own, and nothing is added to
its users. What was there before must be sound, since the judge looks at all of it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.campaign import callers
from orchestrator.campaign.couriers import courier_users
from orchestrator.inspection.auditing import audit_running
from orchestrator.inspection.cluster_state import describe_nodes
from orchestrator.layout.accounts import read_users
from orchestrator.layout.config import demand_test_profile, load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.driven import DrivenCluster
from orchestrator.lifecycle.scratch import ScratchFolder, Shape

_COURIERS = 2
_SHOWN = 3


class CannotPlay(Exception):
    """No campaign can take place there; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The cluster, and who pays between which banks.

    ``user`` is empty where every caller has one of its own; ``history`` lies beside a copy of its cluster.yaml.
    """

    cluster: DrivenCluster
    banks: Sequence[str]
    history: Path = Path()
    user: str = ""
    couriers: Sequence[str] = ()

    def noting_in(self, folder: Path) -> "Stage":
        """Return the same, with its history, and a copy of its cluster.yaml, in ``folder``."""
        shutil.copy(self.cluster.folder.config, folder / "cluster.yaml")
        return replace(self, history=folder / "history.jsonl")


def set_up(scratch: ScratchFolder, banks: Sequence[str]) -> Stage:
    """Make a cluster for a campaign; nothing of it runs yet."""
    offline = courier_users(_COURIERS)
    openings = {user: f"{callers.opening_minor(user) / 100:.2f}" for user in [*callers.users(), *offline]}
    cluster = scratch.make_cluster(Shape("campaign.local", banks, openings, "profile: test"))
    return Stage(cluster, banks, scratch.root / "history.jsonl", couriers=offline)


def take_over(folder: ClusterFolder, user: str, password: str) -> Stage:
    """Take the cluster that runs in ``folder``. Raises `CannotPlay`, and as `audit_running` does."""
    config = load(folder.config)
    demand_test_profile(config, folder.config, "campaigns")
    away = [node["name"] for node in describe_nodes(folder) if not node.get("is_ready")]
    if away:
        raise CannotPlay(f"{', '.join(away)} not serving: `cluster up` first")
    banks = [bank for each in read_users(config) if each.name == user for bank in each.accounts]
    if len(banks) < 2:
        raise CannotPlay(f"{user} needs accounts at two banks to pay between; see {config.users}")
    report = audit_running(config, folder)
    if report.findings:
        said = "; ".join(map(str, report.findings[:_SHOWN]))
        raise CannotPlay(f"its records do not agree before anything is broken, see `cluster audit`: {said}")
    return Stage(DrivenCluster(folder, password), banks, user=user)
