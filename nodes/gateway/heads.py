"""What the gateway and a bank have heard of each other's chains, compared before they deal with each other.

Whose file was cut, restored from an old copy or made anew does not hold what the other
has on record, and the gateway has nothing to do with such a bank until that is mended.
"""

from interbank.v1 import bank_pb2 as pb

from nodes.core.chain import Heard, explain_head
from nodes.runtime.chain_messages import read_head
from nodes.runtime.chain_table import ChainTable


class Heads:
    """Compares with what ``chain``, the gateway's own, has on record."""

    def __init__(self, chain: ChainTable) -> None:
        self._chain = chain

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
                return f"{bank}: {said}"
        if response.HasField("heard"):
            number, _, hash_ = read_head(response.heard)
            told = Heard("gateway", number, hash_)
            said = explain_head(told, self._chain.head_at(told.number), bank)
            if said:
                return f"the gateway: {said}"
        return ""

    def _heard(self, bank: str) -> Heard | None:
        return next((told for told in self._chain.last_heard() if told.node == bank), None)
