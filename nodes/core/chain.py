"""Tamper evidence: each node's records are chained by hashes, one link for each turn that adds some.

A link's hash covers the hash before it and every field of the turn's records, so a
record that is changed, removed, added or moved later shows when the records are read
again and their hashes made anew. Who can write the file can also make the whole chain
anew; therefore nodes tell each other their *heads* now and then, and each puts on
record, in a link of its own, what it heard. A chain that was cut or made anew does not
hold the hash that others have heard: to hide a change one has to change every node.
What operators did by hand (an *act*, a line of text) has a link of its own in the same chain. One act, the
recovery of a node's records (`nodes.core.recovery`), leaves out the numbers of links that were lost.

Hashed are columns, not rows: that is five times cheaper, and the price of a payment
is what counts (0.2 us). No text may hold a line end, which separates texts here;
`nodes.core.violations` refuses those at the door.

Source: Haber and Stornetta, How to Time-Stamp a Digital Document (1991).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import pack
from typing import Any, NamedTuple

Record = tuple[Any, ...]
"""Whole numbers, texts of one line, 16-byte ids; None only where the whole column is."""

HASH_BYTES = 32
_ID_BYTES = 16


class Head(NamedTuple):
    """A chain's newest link: ``hash`` (32 bytes) stands for all records up to ``last_sequence``."""

    number: int
    last_sequence: int
    hash: bytes


class Heard(NamedTuple):
    """What another node said was its head."""

    node: str
    number: int
    hash: bytes


class Unchainable(Exception):
    """The records are not such as could have been chained: somebody changed them."""


def begin_chain(node: str) -> Head:
    """Return what the chain of ``node`` (a bank's name, or ``gateway``) starts from."""
    return Head(0, 0, sha256(node.encode()).digest())


def extend_chain(
    head: Head, records: Sequence[Record], heard: Sequence[Heard] = (), acts: Sequence[str] = ()
) -> Head:
    """Return the head after one more link. Raises `Unchainable`."""
    return extend_by_columns(head, zip(*records, strict=True), len(records), heard, acts)


def extend_by_columns(
    head: Head,
    columns: Iterable[Sequence[Any]],
    count: int,
    heard: Sequence[Heard] = (),
    acts: Sequence[str] = (),
) -> Head:
    """Do the same for ``count`` records that stand in columns."""
    number, last_sequence = head.number + 1, head.last_sequence + count
    digest = sha256(head.hash)
    digest.update(pack("<3q", number, last_sequence, len(heard)))
    for node, heard_number, heard_hash in heard:
        digest.update(f"{node}\n{heard_number}\n{heard_hash.hex()}\n".encode())
    if acts:
        digest.update(pack("<q", len(acts)) + "".join(f"{act}\n" for act in acts).encode())
    try:
        for column in columns:
            digest.update(_encode(column))
    except Exception as error:
        raise Unchainable(str(error)) from error
    return Head(number, last_sequence, digest.digest())


def _encode(column: Sequence[Any]) -> bytes:
    first = column[0]
    if isinstance(first, int):
        return pack(f"<{len(column)}q", *column)
    if isinstance(first, str):
        return ("\n".join(column) + "\n").encode()
    if first is None and set(column) == {None}:
        return b""
    if set(map(len, column)) != {_ID_BYTES}:
        raise ValueError("an id is not 16 bytes long")
    return b"".join(column)


class Found(NamedTuple):
    """What is there that a link should cover: so many ``records`` in columns, what was heard, and acts.

    ``follows`` is the number of the link that it should follow, None for the one before.
    """

    columns: Iterable[Sequence[Any]]
    records: int
    heard: Sequence[Heard] = ()
    acts: Sequence[str] = ()
    follows: int | None = None


def find_break(before: Head, link: Head, found: Found) -> str:
    """Make the hash of ``link`` anew, which follows ``before``; say how it differs, empty if it does not."""
    wanted = link.last_sequence - before.last_sequence
    what = f"records {before.last_sequence + 1} to {link.last_sequence}"
    if not wanted:
        what = f"acts of operators after record {link.last_sequence}"
    if before.number != (link.number - 1 if found.follows is None else found.follows):
        return f"links {before.number + 1} to {link.number - 1} of the chain are gone"
    if found.records != wanted:
        return f"{what}: {found.records} are there, {wanted} were written (link {link.number})"
    try:
        is_intact = extend_by_columns(before._replace(number=link.number - 1), *found[:-1]) == link
    except Unchainable:
        is_intact = False
    return "" if is_intact else f"{what} are not what was written (link {link.number})"


def explain_head(heard: Heard, link: Head | None, listener: str) -> str:
    """Say how what ``listener`` heard of a chain differs from its link of that number; empty if it does not."""
    if link is None:
        return f"its chain was cut: {listener} has heard of link {heard.number}, which is not there"
    if link.hash != heard.hash:
        return f"its chain was made anew: link {heard.number} is not the one that {listener} has heard of"
    return ""
