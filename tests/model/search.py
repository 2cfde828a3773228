"""Breadth-first search through the space: all states up to a number, or the shortest way to one that is wrong."""

from typing import NamedTuple

from tests.model.claims import find_broken_promise, find_fault, is_at_rest
from tests.model.nodes import GATEWAY, Event, Message
from tests.model.space import BANKS, Cluster, Space, WentWrong
from tests.model.words import describe

_ROUNDS_MAX = 5


class Found(NamedTuple):
    """What the search came to. ``trace`` is the shortest way to what is wrong; empty if nothing is.

    What is found wrong while a state is played out has the way to that state, and the play.
    """

    states: int
    depth: int
    is_complete: bool
    played_out: int
    wrong: str
    trace: list[str]


class Search:
    """One search. From each ``play_out_every``-th state everything must come to an end, once nothing fails."""

    def __init__(self, cluster: Cluster, *, play_out_every: int = 100) -> None:
        self.space = Space(cluster)
        self._play_out_every = play_out_every
        self._parents: dict[int, int] = {}
        self._sound: set[object] = set()
        self._played_out = 0
        self._played: list[str] = []

    def run(self, states_max: int) -> Found:
        """Look at up to so many states."""
        first = self.space.first()
        self._parents[first] = first
        frontier, depth = [first], 0
        while frontier:
            following: list[int] = []
            for whole in frontier:
                try:
                    wrong = self._expand(whole, following)
                except WentWrong as error:
                    way = [*self._way_to(whole), *self._played, describe(error.node, error.event)]
                    return self._report(depth + 1, error.what, way)
                if wrong:
                    return self._report(depth + 1, wrong, [*self._way_to(following[-1]), *self._played])
                if len(self._parents) >= states_max:
                    return self._report(depth + 1, "", [], is_complete=False)
            frontier, depth = following, depth + bool(following)
        return self._report(depth, "", [])

    def _report(self, depth: int, wrong: str, trace: list[str], *, is_complete: bool = True) -> Found:
        return Found(len(self._parents), depth, is_complete and not wrong, self._played_out, wrong, trace)

    def _expand(self, whole: int, following: list[int]) -> str:
        parents = self._parents
        for _, _, after in self.space.steps(whole):
            if after in parents:
                continue
            parents[after] = whole
            following.append(after)
            wrong = self._find_fault(after)
            if not wrong and len(parents) % self._play_out_every == 0:
                wrong = self._play_out(after)
            if wrong:
                return wrong
        return ""

    def _way_to(self, whole: int) -> list[str]:
        """Return what happened from the first state to this one."""
        way: list[str] = []
        while (parent := self._parents[whole]) != whole:
            step = next(step for step in self.space.steps(parent) if step.after == whole)
            way.append(describe(step.node, step.event))
            whole = parent
        return way[::-1]

    # -- what must hold ---------------------------------------------------------

    def _find_fault(self, whole: int) -> str:
        """Check a state, as far as its parts were not met together before."""
        nodes = self.space.nodes_of(whole)
        if nodes not in self._sound:
            gateway, *banks = self.space.split(whole)
            fault = find_fault(gateway, tuple(banks))
            if fault:
                return fault
            self._sound.add(nodes)
        for bank, number, votes in self.space.votes_of(whole):
            if (number, votes) not in self._sound:
                fault = find_broken_promise(bank, self.space.messages_of(votes))
                if fault:
                    return fault
                self._sound.add((number, votes))
        return ""

    def _play_out(self, whole: int) -> str:
        """Let nothing fail from here on; everything must come to an end."""
        self._played_out += 1
        self._played = ["from here on nothing fails:"]
        for _ in range(_ROUNDS_MAX):
            for bank in BANKS:
                whole = self._settle(whole, bank, Event("open"))
            for payment in self.space.cluster.payments:
                whole = self._settle(whole, GATEWAY, Event("begin", payment))
            whole = self._settle(whole, GATEWAY, Event("deadline"))
            gateway, *banks = self.space.split(whole)
            if is_at_rest(gateway, tuple(banks), self.space.cluster.payments):
                wrong = self._find_fault(whole)
                self._played = self._played if wrong else []
                return wrong
        return "I10 does not come to an end, though nothing fails any more"

    def _settle(self, whole: int, node: str, event: Event) -> int:
        """Let something happen, and deliver all that comes of it."""
        to_come: list[tuple[str, Event | Message]] = [(node, event)]
        while to_come:
            self._played.append(describe(*to_come[0]))
            whole, said = self.space.let_happen(whole, *to_come.pop(0))
            to_come += [(message.to, message) for message in said]
        return whole
