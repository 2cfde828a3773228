"""The act of an operator that lets a gateway serve again whose records were lost, or are an old copy.

It has a link of its own in the gateway's chain. That link's number is above all that banks have
heard of; what they heard before is given up, and from there on they hear of the new chain. What
the records were is found by `nodes.core.rebuilding`.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from nodes.core.chain import Heard

RECORDS_LOST = "nothing: the gateway's records of it were lost"
"""What the gateway has on record of a transaction of which only an operator can tell (`nodes.core.resolution`)."""


class Recovery(NamedTuple):
    """Link ``link`` of the gateway's chain follows link ``follows``.

    ``heads`` are what banks had heard of the chain that was given up, as `write_heads` writes them.
    """

    link: int
    follows: int
    who: str
    why: str
    at_us: int
    heads: str

    @property
    def act(self) -> str:
        """What the gateway's chain covers."""
        return json.dumps(["recover", *self])

    def given_up(self) -> dict[str, Heard]:
        """Return what each bank had heard."""
        return {node: Heard(node, number, bytes.fromhex(hash_)) for node, number, hash_ in json.loads(self.heads)}

    def explain(self, bank: str, told: Heard) -> str:
        """Say how what ``bank`` has heard before differs from what was given up; empty if it does not."""
        given_up = self.given_up().get(bank)
        if given_up is not None and given_up[1:] == told[1:]:
            return ""
        return f"{bank} has heard of link {told.number}, which was not given up at the recovery by {self.who}"


def write_heads(heads: Iterable[Heard]) -> str:
    """Write what banks had heard, by bank, as one line of text."""
    return json.dumps([[node, number, hash_.hex()] for node, number, hash_ in sorted(heads)])
