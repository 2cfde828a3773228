"""What a cut waits for, without a clock: which banks were sent a marker, who has answered, what waits until then.

The gateway's loop calls `Markers.mark` after each turn, has it pass on what banks inquire about, and tells
it what it hears; `nodes.gateway.cuts` begins cuts, and gives those up that take too long. The simulator does
the same (`tests/simulator`).
"""

from collections.abc import Callable, Mapping

from interbank.v1 import bank_pb2 as pb

from nodes.core.coordinator import Coordinator
from nodes.gateway.bank_link import BankLink, Batch, Marker
from nodes.gateway.bank_words import demand_own_cut
from nodes.runtime.chain_table import ChainTable

Ended = Callable[[list[pb.BankCut], str], None]
"""Is handed the banks' answers, by name; or none, and why the cut cannot be."""


class Markers:
    """The markers of one cut after another. ``head`` is the gateway's chain when those of the newest were sent."""

    def __init__(self, coordinator: Coordinator, chain: ChainTable, links: Mapping[str, BankLink]) -> None:
        self.number = 0
        self.head = chain.head
        self._coordinator = coordinator
        self._chain = chain
        self._links = links
        self._ended: Ended | None = None
        self._keeps_books = False
        self._answers: dict[str, pb.BankCut | None] = {}
        self._held_back: list[Callable[[], None]] = []

    @property
    def silent(self) -> list[str]:
        """The banks that were sent the newest marker and have not answered."""
        return sorted(bank for bank, answer in self._answers.items() if answer is None)

    def begin(self, ended: Ended, *, keeps_books: bool) -> None:
        """Have the next `mark` send markers; ``ended`` is called at the end of the cut, however that comes."""
        assert self._ended is None, "one cut at a time"
        self.number += 1
        self._ended, self._keeps_books, self._answers = ended, keeps_books, {}

    def give_up(self) -> None:
        """End the cut, if one is under way."""
        if self._ended is not None:
            self._end([], "it was given up")

    def mark(self) -> None:
        """Send the markers, if a cut was begun: between two turns."""
        if self._ended is None or self._answers:
            return
        away = sorted(
            name
            for name, link in self._links.items()
            if not (link.is_connected and self._coordinator.connected.get(name))
        )
        if away or not self._links:
            said = f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} away" if away else "there is no bank"
            self._end([], said)
            return
        self.head = self._chain.head
        self._answers = dict.fromkeys(self._links)
        for link in self._links.values():
            link.send(Batch([], [], self.head, Marker(self.number, self._keeps_books)))

    def answer_inquiry(self, answer: Callable[[], None]) -> None:
        """Have a bank's inquiry answered, but not between a marker and the bank's answer to it.

        What the answer says may have been decided after the marker, and would reach the bank before it.
        """
        if self._ended is None:
            answer()
        else:
            self._held_back.append(answer)

    def lose(self, bank: str) -> None:
        """Take note that the stream of ``bank`` is gone, and its marker with it."""
        if self._ended is not None and bank in self.silent:
            self._end([], f"{bank} went away")

    def take_answer(self, bank: str, cut: pb.BankCut) -> None:
        """Take how a bank's books stood when the marker came; raises `nodes.core.soundness.Unsound`."""
        demand_own_cut(bank, cut)
        if self._ended is None or cut.number != self.number:
            return
        self._answers[bank] = cut
        if all(answer is not None for answer in self._answers.values()):
            self._end([answer for _, answer in sorted(self._answers.items()) if answer is not None], "")

    def _end(self, banks: list[pb.BankCut], why: str) -> None:
        ended, self._ended = self._ended, None
        held_back, self._held_back = self._held_back, []
        if ended is not None:
            ended(banks, why)
        for answer in held_back:
            answer()
