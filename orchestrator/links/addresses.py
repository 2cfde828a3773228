"""The links of a test cluster: every line between two nodes leads through an address that a proxy listens at.

No port is chosen for them. A link has the port of the node that it leads to, and an
address of its own in 127.77.0.0/16, which is this machine as much as 127.0.0.1 is
(RFC 1122, 3.2.1.3); so `up`, the nodes and the shell all know the same address from
cluster.yaml alone, and no two links or clusters can want the same one.

    client -> gateway     127.77.0.1:<port of the gateway>
    gateway -> bank       127.77.0.2:<port of the bank>
    nth bank -> gateway   127.77.1.<n>:<port of the gateway>
"""

from collections.abc import Mapping
from dataclasses import dataclass

CLIENT = "client"
GATEWAY = "gateway"
_BANKS_A_BLOCK = 250


@dataclass(frozen=True, slots=True)
class Link:
    """A line that ``dialler`` opens to ``server``, through the proxy at ``address``; ``target`` is the node."""

    dialler: str
    server: str
    address: str
    target: str

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.dialler}->{self.server}"


def make_links(addresses: Mapping[str, str]) -> tuple[Link, ...]:
    """Return all links of a cluster whose nodes listen at ``addresses``, the gateway's first."""
    gateway = addresses[GATEWAY]
    banks = [name for name in addresses if name != GATEWAY]
    return (
        Link(CLIENT, GATEWAY, _at("127.77.0.1", gateway), gateway),
        *(Link(GATEWAY, name, _at("127.77.0.2", addresses[name]), addresses[name]) for name in banks),
        *(Link(name, GATEWAY, _at(_bank_host(n), gateway), gateway) for n, name in enumerate(banks)),
    )


def _bank_host(index: int) -> str:
    block, place = divmod(index, _BANKS_A_BLOCK)
    return f"127.77.{block + 1}.{place + 1}"


def _at(host: str, address: str) -> str:
    return f"{host}:{address.rpartition(':')[2]}"
