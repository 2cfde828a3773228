"""What `status` shows of a cluster, and what it exits with: from the supervisor's answer alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nodes.core.money import format_amount
from orchestrator.console.exit_codes import AUDIT_FAILED

GATEWAY_DOWN = 1
BANK_DOWN = 2
IN_DOUBT_TOO_LONG = 4
IN_DOUBT_LIMIT_MS = 10_000
"""How old a transaction in doubt may be before it is called stuck."""
RENEW_AT_DAYS = 7
"""A certificate that ends within so many days is shown as one that wants renewal."""

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One node, as a line of the table; every field is what is shown."""

    name: str
    role: str
    state: str
    health: str
    pid: str
    port: str
    uptime: str
    restarts: str
    cpu: str
    rss: str
    cert: str
    info: str


def make_rows(nodes: Sequence[Node], now: datetime | None = None) -> list[Row]:
    """Return a line for each node."""
    now = now or datetime.now(UTC)
    in_doubt = sum(_count(node, "in_doubt") for node in nodes)
    return [_make_row(node, in_doubt, now) for node in nodes]


def make_stopped(name: str, role: str, address: str, certificate_ends_at: str = "") -> dict[str, Any]:
    """Return a node as the supervisor would describe it, for when there is no supervisor."""
    return {
        "name": name,
        "role": role,
        "address": address,
        "certificate_ends_at": certificate_ends_at,
        "state": "STOPPED",
        "reason": "",
        "restarts": 0,
    }


def days_left(node: Node, now: datetime | None = None) -> int | None:
    """Return the days until the node's certificate ends; None when that is not known."""
    if not node.get("certificate_ends_at"):
        return None
    return (datetime.fromisoformat(node["certificate_ends_at"]) - (now or datetime.now(UTC))).days


def exit_code(nodes: Sequence[Node]) -> int:
    """Return 0 when all is well, else the sum of what is not."""
    down = {node["role"] for node in nodes if not node.get("is_ready")}
    code = (GATEWAY_DOWN if "gateway" in down else 0) | (BANK_DOWN if "bank" in down else 0)
    code |= IN_DOUBT_TOO_LONG if _oldest_in_doubt_ms(nodes) > IN_DOUBT_LIMIT_MS else 0
    return code | (AUDIT_FAILED if _money(nodes).get("money_failed") else 0)


def list_warnings(nodes: Sequence[Node]) -> list[str]:
    """Return what a person should mend although all may serve: a line each."""
    return [f"{node['name']}: {warning}" for node in nodes for warning in node.get("warnings") or ()]


def summarise(nodes: Sequence[Node]) -> str:
    """Return the last line of the table."""
    serving = sum(bool(node.get("is_ready")) for node in nodes)
    in_doubt = sum(_count(node, "in_doubt") for node in nodes)
    age = f" (oldest {_oldest_in_doubt_ms(nodes) / 1000:.0f} s)" if in_doubt else ""
    faults = len({fault["id"] for node in nodes for fault in node.get("faults", ())})
    active = f" | faults: {faults} active" if faults else ""
    money = _money(nodes).get("money")
    shown = f"money {money} | " if money else ""
    return f"{serving} of {len(nodes)} serving | {shown}{in_doubt} in doubt{age}{active}"


def hint(nodes: Sequence[Node]) -> str:
    """Return the command that helps most now."""
    if all(node["state"] == "STOPPED" for node in nodes):
        return "cluster up"
    if _money(nodes).get("money_failed"):
        return "cluster audit"
    for node in nodes:
        if node["state"] in ("FATAL", "STOPPED"):
            return f"cluster logs {node['name']}; then cluster restart {node['name']}"
    if any(days <= RENEW_AT_DAYS for node in nodes if (days := days_left(node)) is not None):
        return "cluster certs rotate"
    if advice := _hint_at_chaos(nodes):
        return advice
    return "cluster shell" if all(node.get("is_ready") for node in nodes) else "cluster events -f"


def _hint_at_chaos(nodes: Sequence[Node]) -> str:
    for node in nodes:
        if "by chaos" in node["reason"] and node["state"] == "RUNNING":
            return f"cluster chaos resume {node['name']}"
    return "cluster chaos ls" if any(node.get("faults") for node in nodes) else ""


def _make_row(node: Node, in_doubt: int, now: datetime) -> Row:
    days = days_left(node, now)
    has_process = node.get("pid") is not None
    return Row(
        name=node["name"],
        role=node["role"],
        state=node["state"],
        health=_health(node),
        pid=str(node["pid"]) if has_process else "-",
        port=node["address"].rpartition(":")[2],
        uptime=_uptime(node["started_at"], now) if has_process else "-",
        restarts=str(node["restarts"]),
        cpu=f"{node['cpu_percent']:.1f}%" if has_process else "-",
        rss=f"{node['rss_bytes'] / 2**20:.0f} MB" if has_process else "-",
        cert=_describe_certificate(node, days),
        info=_describe(node, in_doubt),
    )


def _describe_certificate(node: Node, days: int | None) -> str:
    if any("was revoked" in warning for warning in node.get("warnings") or ()):
        return "revoked"
    return "-" if days is None else "expired" if days < 0 else f"{days}d"


def _health(node: Node) -> str:
    if node.get("is_ready"):
        return "SERVING"
    return "NOT_SERVING" if node.get("is_answering") else "DOWN"


def _uptime(started_at: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(started_at)).total_seconds()))
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    short = f"{minutes:02}:{seconds:02}"
    if days:
        return f"{days}d {hours:02}:{short}"
    return f"{hours}:{short}" if hours else short


def _describe(node: Node, in_doubt: int) -> str:
    # The gateway is at one end of every link: there it would only be said twice.
    faults = [fault for fault in node.get("faults", ()) if node["role"] == "bank" or "client" in fault.values()]
    told = [
        _describe_itself(node, in_doubt),
        *(f"{fault['text']} ({fault['left_s']:.0f} s left)" for fault in faults),
    ]
    return "; ".join(filter(None, told))


def _describe_itself(node: Node, in_doubt: int) -> str:
    if node["reason"]:
        next_s = node.get("next_start_in_s")
        return f"{node['reason']}; next start in {next_s:.1f} s" if next_s is not None else str(node["reason"])
    counters = node.get("counters") or {}
    if "committed" in counters:
        committed, declined = counters["committed"], counters.get("declined", 0)
        return f"{committed:,} committed, {declined:,} declined, {in_doubt} in doubt"
    if "net_due_minor" in counters:
        return _describe_net(-counters["net_due_minor"], counters["currency"])
    return ""


def _describe_net(owed_minor: int, currency: str) -> str:
    sign = "+" if owed_minor > 0 else ""
    return f"net {sign}{format_amount(owed_minor, currency)}"


def _money(nodes: Sequence[Node]) -> Mapping[str, Any]:
    """Return the counters that say what the gateway's last cut showed; nothing while it does not tell."""
    return next((node["counters"] for node in nodes if (node.get("counters") or {}).get("money")), {})


def _count(node: Node, counter: str) -> int:
    return int((node.get("counters") or {}).get(counter, 0))


def _oldest_in_doubt_ms(nodes: Sequence[Node]) -> int:
    return max((_count(node, "oldest_in_doubt_ms") for node in nodes), default=0)
