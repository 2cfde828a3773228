"""All that nodes need before they start, made where it is missing; and the plan to start them by."""

from collections.abc import Callable

from orchestrator.accounts import ensure_accounts
from orchestrator.certificates import ensure_certificates, list_certificates
from orchestrator.config import ClusterConfig
from orchestrator.folder import ClusterFolder
from orchestrator.plan import Plan
from orchestrator.planning import make_plan


def prepare(config: ClusterConfig, folder: ClusterFolder, say: Callable[[str], None] = lambda _: None) -> Plan:
    """Make folders, accounts and certificates as far as they are missing, saying which; return the plan."""
    folder.logs.mkdir(mode=0o700, exist_ok=True)
    ensure_accounts(config, folder)
    for change in ensure_certificates(config, folder):
        say(f"certificates: {change}")
    return make_plan(config, folder, {each.name: each.not_after for each in list_certificates(folder)})
