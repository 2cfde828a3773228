"""The loads: who pays whom, in what way, on what cluster. One row a kind, in the order they are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_PAYERS = 4
_PAYEES = 1000


class Call(StrEnum):
    """How a caller pays."""

    UNARY = "unary"
    """One payment a call, one call at a time: Pay."""
    CLIENT = "client"
    """One payment at a time, by a client that gathers what all callers ask for: `nodes.client.AsyncClient`."""
    STREAM = "stream"
    """Many payments a message, one message at a time: PayMany."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load: ``callers`` pay at once, as one of ``payers`` users each, to ``payees`` at ``banks`` banks."""

    name: str
    call: Call
    callers: int
    batch: int = 1
    banks: int = 2
    payers: int = _PAYERS
    payees: int = _PAYEES
    history: int = 0
    """How many payments are on record before."""

    @property
    def title(self) -> str:
        """The load in a few words, different from every other's."""
        words = [self.name]
        if self.call is Call.STREAM:
            words.append(f"{self.batch:,} a message")
        elif self.callers > 1:
            words.append(f"{self.callers} at once")
        if self.history:
            words.append(f"{self.history:,} before")
        if self.payees > _PAYEES:
            words.append(f"{self.payees:,} accounts")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What people may choose: how many call at once, how many payments a message holds, and so on."""

    callers: int = 64
    batches: Sequence[int] = (64, 256, 1024)
    banks: int = 30
    accounts: int = 100_000
    histories: Sequence[int] = (1_000_000,)


NAMES = ("one", "unary", "callers", "batch", "hot-accounts", "many-banks", "many-accounts", "history")
"""Each kind of load, in the order of running."""


def choose_loads(names: Sequence[str], sizes: Sizes) -> list[Load]:
    """Return the loads of these kinds, all kinds if none is named, in the order of `NAMES`."""
    largest = max(sizes.batches)
    every = [
        Load("one", Call.UNARY, callers=1),
        Load("unary", Call.UNARY, callers=sizes.callers),
        Load("callers", Call.CLIENT, callers=2 * sizes.callers, payers=1),
        *(Load("batch", Call.STREAM, callers=_PAYERS, batch=batch) for batch in sorted(sizes.batches)),
        Load("hot-accounts", Call.STREAM, callers=_PAYERS, batch=largest, payers=2, payees=2),
        Load("many-banks", Call.STREAM, callers=_PAYERS, batch=largest, banks=sizes.banks),
        Load("many-accounts", Call.STREAM, callers=_PAYERS, batch=largest, payees=sizes.accounts),
        *(
            Load("history", Call.STREAM, callers=_PAYERS, batch=largest, history=history)
            for history in sorted(sizes.histories)
        ),
    ]
    return [load for load in every if load.name in (names or NAMES)]
