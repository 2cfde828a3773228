"""What the gateway and a bank have heard of each other's chains, compared before they deal with each other.

Whose file was cut, restored from an old copy or made anew does not hold what the other
has on record, and the gateway has nothing to do with such a bank until that is mended. What
banks had heard before a recovery of the gateway's records (`nodes.core.recovery`) is held
against what that gave up.
"""

from collections.abc import Sequence

from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import Heard, explain_head
from nodes.core.recovery import Recovery
from nodes.runtime.chain_messages import read_head
from nodes.runtime.chain_table import ChainTable

_MENDED_BY = "put the newest in its place, or `cluster down` and `cluster recover gateway`"


def explain_told(chain: ChainTable, recoveries: Sequence[Recovery], bank: str, told: Heard) -> str:
    """Say how what ``bank`` was told of the gateway's chain differs from it; empty if it does not."""
    if recoveries and told.number < recoveries[-1].link:
        return recoveries[-1].explain(bank, told)
    return explain_head(told, chain.head_at(told.number), bank)


class Heads:
    """Compares with what ``chain``, the gateway's own, has on record; ``recoveries`` are in it, oldest first."""

    def __init__(self, chain: ChainTable, recoveries: Sequence[Recovery] = ()) -> None:
        self._chain = chain
        self._recoveries = recoveries

    def heard_number(self, bank: str) -> int:
        """Return the number of the newest link of a bank's chain that is on record here, 0 if none is."""
        heard = self._heard(bank)
        return heard.number if heard else 0

    def find_difference(self, bank: str, response: pb.CompareHeadsResponse) -> str:
        """Say what is wrong with a bank's chain, or with the gateway's own; empty when nothing is."""
        heard = self._heard(bank)
        if heard:
            link = read_head(response.link) if response.HasField("link") else None
            said = explain_head(heard, link, "the gateway")
            if said:
                return f"{bank}: {said}; its file is an old copy, or another: put the newest in its place"
        if response.HasField("heard"):
            number, _, hash_ = read_head(response.heard)
            said = explain_told(self._chain, self._recoveries, bank, Heard("gateway", number, hash_))
            if said:
                return f"the gateway: {said}; its file is an old copy, or another: {_MENDED_BY}"
        return ""

    def _heard(self, bank: str) -> Heard | None:
        return next((told for told in self._chain.last_heard() if told.node == bank), None)
