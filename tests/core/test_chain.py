"""The chain of hashes: whatever is done to a record that was chained, it shows."""

from itertools import pairwise

import pytest

from nodes.core.chain import Found, Head, Heard, Unchainable, begin_chain, extend_chain, find_break

START = begin_chain("HDFC")
RECORDS = [(bytes([n]) * 16, f"user{n}", n, "INR") for n in range(1, 8)]
SIZES = (1, 3, 1, 2, 0)
HEARD = {3: [Heard("gateway", 9, b"h" * 32)]}
ACTS = {2: ["paid"], 5: ["resolved", "restored"]}


def chain(records=RECORDS):
    links, head = [], START
    for size in SIZES:
        records_of_turn = records[head.last_sequence : head.last_sequence + size]
        number = head.number + 1
        head = extend_chain(head, records_of_turn, HEARD.get(number, ()), ACTS.get(number, ()))
        links.append(head)
    return links


def breaks(records=RECORDS, links=None, heard=HEARD, start=START, acts=ACTS):
    found = []
    for before, link in pairwise([start, *(chain() if links is None else links)]):
        read = records[before.last_sequence : link.last_sequence]
        there = Found(zip(*read, strict=True), len(read), heard.get(link.number, ()), acts.get(link.number, ()))
        found.append(find_break(before, link, there))
    return [*filter(None, found)]


def test_what_was_not_touched_is_whole():
    assert breaks() == []


def test_the_end_of_a_chain_is_checked_without_its_beginning():
    links = chain()
    assert breaks(start=links[1], links=links[2:]) == []


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("row", range(7))
def test_every_field_of_every_record_counts(row, column):
    changed = [list(record) for record in RECORDS]
    field = changed[row][column]
    changed[row][column] = field + 1 if isinstance(field, int) else field[1:] + field[:1] + field[:0]
    if changed[row][column] == field:
        changed[row][column] = type(field)(reversed(b"\0" * 15 + b"\1"))
    [found] = breaks([tuple(record) for record in changed])
    assert "are not what was written" in found


ALTERED = [
    ("two records change places", [RECORDS[0], RECORDS[2], RECORDS[1], *RECORDS[3:]], "records 2 to 4 are not"),
    ("a record is gone from the end", RECORDS[:-1], "records 6 to 7: 1 are there, 2 were written"),
    ("a record is gone from the middle", [*RECORDS[:3], *RECORDS[4:]], "records 2 to 4 are not"),
    ("text moves to the next field", [(*RECORDS[0][:1], "user1\n", *RECORDS[0][2:]), *RECORDS[1:]], "records 1"),
    ("an id is emptied", [(None, *RECORDS[0][1:]), *RECORDS[1:]], "records 1 to 1 are not"),
    ("an id is cut", [(b"x", *RECORDS[0][1:]), *RECORDS[1:]], "records 1 to 1 are not"),
    ("a number becomes a text", [(*RECORDS[0][:2], "1", "INR"), *RECORDS[1:]], "records 1 to 1 are not"),
]  # fmt: skip


@pytest.mark.parametrize(("records", "found"), [case[1:] for case in ALTERED], ids=[case[0] for case in ALTERED])
def test_what_is_done_to_records_shows(records, found):
    assert breaks(records)[0].startswith(found)


def test_bytes_do_not_wander_between_ids():
    first, second = RECORDS[:2]
    moved = [(first[0][:-1], *first[1:]), (first[0][-1:] + second[0], *second[1:])]
    with pytest.raises(Unchainable):
        extend_chain(START, moved)


def test_a_link_that_is_gone_is_named():
    links = chain()
    assert breaks(links=[links[0], *links[2:]])[0] == "links 2 to 2 of the chain are gone"


def test_a_link_made_anew_without_those_after_it_shows():
    links = chain()
    links[1] = Head(2, 4, b"x" * 32)
    assert [found.partition(" (")[0] for found in breaks(links=links)] == [
        "records 2 to 4 are not what was written",
        "records 5 to 5 are not what was written",
    ]


def test_characters_do_not_wander_between_texts():
    first, second = RECORDS[:2]
    moved = [(first[0], first[1] + second[1][:1], *first[2:]), (second[0], second[1][1:], *second[2:])]
    assert extend_chain(START, moved) != extend_chain(START, RECORDS[:2])


@pytest.mark.parametrize(
    "heard",
    [
        {},
        {3: [Heard("SBI", 9, b"h" * 32)]},
        {3: [Heard("gateway", 8, b"h" * 32)]},
        {3: [Heard("gateway", 9, b"g" * 32)]},
        {3: [*HEARD[3], Heard("SBI", 1, b"h" * 32)]},
    ],
)
def test_what_was_heard_is_part_of_the_link(heard):
    assert breaks(heard=heard) == ["records 5 to 5 are not what was written (link 3)"]


@pytest.mark.parametrize(
    "acts", [{}, {2: ["paid"]}, {2: ["paid"], 5: ["resolved"]}, {2: ["paid"], 5: ["resolved\nrestored"]}]
)
def test_what_operators_did_is_part_of_the_link(acts):
    assert "acts of operators after record 7 are not what was written (link 5)" in breaks(acts=acts)


def test_an_act_that_was_added_shows():
    assert breaks(acts={**ACTS, 3: ["planted"]}) == ["records 5 to 5 are not what was written (link 3)"]


def test_a_link_may_leave_out_numbers_only_where_a_recovery_says_so():
    before = extend_chain(START, RECORDS[:1])
    link = extend_chain(before._replace(number=7), [], [], ["recovered"])
    there = Found((), 0, acts=["recovered"], follows=1)
    assert link.number == 8
    assert find_break(before, link, there) == ""
    assert find_break(before, link, there._replace(follows=None)) == "links 2 to 7 of the chain are gone"
    assert find_break(before, link, there._replace(follows=2)) == "links 2 to 7 of the chain are gone"
    assert find_break(before._replace(hash=bytes(32)), link, there).startswith("acts of operators after record 1")


def test_each_node_has_a_chain_of_its_own():
    assert extend_chain(begin_chain("SBI"), RECORDS) != extend_chain(START, RECORDS)


def test_a_changed_record_changes_every_later_head():
    changed = [(*RECORDS[0][:2], 99, "INR"), *RECORDS[1:]]
    assert not {link.hash for link in chain()} & {link.hash for link in chain(changed)}


def test_links_hash_as_they_always_have_so_that_books_of_earlier_releases_stay_whole():
    bare = extend_chain(START, RECORDS[:2])
    assert bare.hash.hex() == "c19932aa93c12ff598da02c2a23530638b74279a1d856b5ec7e82d33257e410a"
    full = extend_chain(bare, RECORDS[2:], HEARD[3], ACTS[5])
    assert full.hash.hex() == "45c447889f09cbf3a7507a62437f3ab94cde100826c3674253597069c754f3d0"
