"""What the supervisor is to keep running, as plain JSON: made by `up`, read by the supervisor.

Only `up` reads cluster.yaml; the supervisor is handed this plan on its standard input,
so it starts without the libraries that check configurations and certificates, and a
plan can as well be made by a test. Every path in it is absolute.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.links.addresses import Link
from orchestrator.supervision.policy import Limits


@dataclass(frozen=True, slots=True)
class Launch:
    """One node as the supervisor knows it."""

    name: str
    role: str
    address: str
    """host:port."""
    tls_name: str
    """What its certificate must be valid for."""
    command: tuple[str, ...]
    output: str
    """The file for what the process prints."""
    certificate_ends_at: str = ""
    """RFC 3339; empty when it is not known."""

    def command_for(self, instance: str, lifeline_fd: int) -> list[str]:
        """Return the command line of one start."""
        return [*self.command, "--instance", instance, "--lifeline-fd", str(lifeline_fd)]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a supervisor needs to know."""

    launches: tuple[Launch, ...]
    """In the order of starting: the gateway first."""
    limits: Limits
    prober: tuple[str, ...]
    """The command line of the prober."""
    prober_output: str
    lock: str
    socket: str
    journal: str
    crash_order: str = ""
    """Where the supervisor of a test cluster finds its order to crash; empty in any other."""
    links: tuple[Link, ...] = ()
    """What a test cluster's nodes reach each other through; none otherwise, and no proxy."""
    proxy: tuple[str, ...] = ()
    """The command line of the proxy."""
    proxy_output: str = ""
    renewer: tuple[str, ...] = ()
    """The command line of what renews certificates now and then; nothing does if it is empty."""


def write_plan(plan: Plan) -> bytes:
    """Return the plan as JSON."""
    return json.dumps(asdict(plan)).encode()


def read_plan(text: bytes) -> Plan:
    """Return the plan that `write_plan` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["launches"] = tuple(_read_launch(launch) for launch in fields["launches"])
    fields["limits"] = Limits(**fields["limits"])
    fields["prober"] = tuple(fields["prober"])
    fields["renewer"] = tuple(fields["renewer"])
    fields["links"] = tuple(Link(**link) for link in fields["links"])
    fields["proxy"] = tuple(fields["proxy"])
    return Plan(**fields)


def _read_launch(fields: dict[str, Any]) -> Launch:
    return Launch(**{**fields, "command": tuple(fields["command"])})
