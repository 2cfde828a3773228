"""Makes a node's chain anew while its records go by, page by page, and says where it differs."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from nodes.core.books import Chain, Page
from nodes.core.chain import Found, Head, begin_chain, find_break

Item = TypeVar("Item")


class ChainCheck:
    """Take the `page`s of one node in their order, then `end`; both say what was found.

    The first ``skips`` columns of a page are not part of what is chained.
    """

    def __init__(self, node: str, chain: Chain, *, skips: int = 0) -> None:
        self.count = 0
        """How many records went by."""
        self._chained_until = 0
        self._before = begin_chain(node)
        self._links = chain.links()
        self._next = next(self._links, None)
        self._skips = skips
        self._rest: Page = ()
        """Records that no link has covered yet; the next may need more of them."""
        self._heard = _group(chain.heard)
        self._acts = _group(chain.acts)
        self._jumps = chain.jumps

    def take(self, page: Page) -> Iterator[str]:
        """Check all links whose records have all gone by."""
        self.count += len(page[0])
        self._rest = (
            [[*before, *now] for before, now in zip(self._rest, page, strict=True)] if self._rest else page
        )
        yield from self._check_links(until=self._rest[0][-1])

    def end(self) -> Iterator[str]:
        """Check the links that are left; say which records none covers."""
        yield from self._check_links(until=None)
        if self._rest and self._rest[0]:
            yield f"{len(self._rest[0])} records after {self._chained_until} were never chained"
        if self._acts:
            yield f"{len(self._acts)} acts of operators were never chained"

    def _check_links(self, until: int | None) -> Iterator[str]:
        at = 0
        sequences: Sequence[int] = self._rest[0] if self._rest else ()
        while self._next is not None and (until is None or self._next.last_sequence <= until):
            before, link = self._before, self._next
            self._before, self._next = link, next(self._links, None)
            start = bisect_right(sequences, before.last_sequence, at)
            at = bisect_right(sequences, link.last_sequence, start)
            said = self._check(before, link, start, at)
            if said:
                yield said
        if at:
            self._chained_until = sequences[at - 1]
            self._rest = [column[at:] for column in self._rest]

    def _check(self, before: Head, link: Head, start: int, end: int) -> str:
        columns = (column[start:end] for column in self._rest[self._skips :]) if start < end else ()
        covered = self._heard.get(link.number, ()), self._acts.pop(link.number, ()), self._jumps.get(link.number)
        return find_break(before, link, Found(columns, end - start, *covered))


def _group(items: Iterable[tuple[int, Item]]) -> dict[int, list[Item]]:
    grouped: dict[int, list[Item]] = {}
    for number, item in sorted(items):
        grouped.setdefault(number, []).append(item)
    return grouped
