"""All that nodes need before they start, made where it is missing; and the plan to start them by."""

from collections.abc import Callable, Iterator

from orchestrator.identity.authority import find_authority_fault, is_changing
from orchestrator.identity.certificates import ensure_certificates, list_certificates, renew_leafs
from orchestrator.layout.accounts import ensure_accounts
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.lifecycle.planning import make_plan
from orchestrator.supervision.plan import Plan


def prepare(config: ClusterConfig, folder: ClusterFolder, say: Callable[[str], None] = lambda _: None) -> Plan:
    """Make folders, accounts and certificates as far as they are missing, saying which; return the plan.

    What others could put files of their own into is closed to them.
    """
    folder.logs.mkdir(mode=0o700, exist_ok=True)
    for path in (folder.logs, folder.state):
        if path.is_dir() and path.stat().st_mode & 0o022:
            path.chmod(0o700)
            say(f"{path.name}: could be changed by others; closed")
    ensure_accounts(config, folder)
    for change in ensure_certificates(config, folder):
        say(f"certificates: {change}")
    return make_plan(config, folder, {each.name: each.not_after for each in list_certificates(folder)})


def refresh(config: ClusterConfig, folder: ClusterFolder) -> Iterator[tuple[str, str]]:
    """Make anew what nodes take while they run; yield (node, what was done).

    Those are accounts that users.json has more, and certificates that do not serve or
    soon will not. What would need every node stopped, a broken authority, is left to `prepare`.
    """
    for bank in ensure_accounts(config, folder):
        yield bank, f"accounts: those of {bank} are written anew; new ones are opened"
    if find_authority_fault(config, folder) or is_changing(folder):
        return
    for change in renew_leafs(config, folder):
        yield change.path.stem, f"certificates: {change}"
