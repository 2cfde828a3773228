"""The chain in a database: what it costs, what it remembers of others, what a look at its end sees."""

import time

import apsw
import pytest

from nodes.core.chain import Head, begin_chain
from nodes.runtime import chain_table
from nodes.runtime.chain_table import CHAIN_SCHEMA, ChainTable

NOTES = CHAIN_SCHEMA + "CREATE TABLE note (sequence INTEGER PRIMARY KEY, id BLOB, said TEXT, at INTEGER) STRICT;"
HEAD = Head(4, 40, b"a" * 32)


@pytest.fixture
def connection():
    connection = apsw.Connection(":memory:")
    connection.execute(NOTES)
    return connection


def open_chain(connection):
    return ChainTable(connection, "HDFC", table="note", columns="id, said, at")


def write(connection, chain, *said, at=0, now_us=0):
    records = [(word.encode().ljust(16), word, at) for word in said]
    connection.executemany("INSERT INTO note VALUES (NULL, ?, ?, ?)", records)
    chain.append(records, now_us)


def test_a_chain_goes_on_where_it_was_after_a_restart(connection):
    write(connection, open_chain(connection), "a", "b")
    write(connection, open_chain(connection), "c")
    chain = open_chain(connection)
    assert (chain.head.number, chain.head.last_sequence) == (2, 3)
    assert chain.head_at(2) == chain.head
    assert chain.head_at(0) == begin_chain("HDFC")
    assert chain.head_at(3) is None
    assert chain.find_breaks(whole=True) == []


def test_a_record_that_came_past_the_chain_is_found(connection):
    chain = open_chain(connection)
    write(connection, chain, "a")
    connection.execute("INSERT INTO note VALUES (NULL, zeroblob(16), 'planted', 0)")
    assert chain.find_breaks() == ["records 2 to 2 were never chained"]


def test_a_start_looks_at_the_end_and_the_audit_at_all(connection, monkeypatch):
    monkeypatch.setattr(chain_table, "_TAIL_LINKS", 3)
    chain = open_chain(connection)
    for word in "abcdef":
        write(connection, chain, word)
    connection.execute("UPDATE note SET at = 5 WHERE said = 'a'")
    assert chain.find_breaks() == []
    assert chain.find_breaks(whole=True) == ["records 1 to 1 are not what was written (link 1)"]
    connection.execute("UPDATE note SET at = 5 WHERE said = 'd'")
    assert chain.find_breaks() == ["records 4 to 4 are not what was written (link 4)"]


def test_what_others_say_is_put_on_record_now_and_then(connection):
    chain = open_chain(connection)
    chain.hear("ICICI", HEAD)
    assert chain.last_heard() == []
    write(connection, chain, "a", now_us=1)
    assert chain.last_heard() == [("ICICI", 4, b"a" * 32)]
    chain.hear("ICICI", HEAD._replace(number=5))
    write(connection, chain, "b", now_us=2)
    assert chain.last_heard()[0].number == 4
    chain.hear("ICICI", HEAD._replace(number=6))
    write(connection, chain, "c", now_us=6_000_000)
    assert chain.last_heard()[0].number == 6
    assert chain.find_breaks(whole=True) == []


def test_a_clock_that_goes_back_keeps_nobody_from_being_heard(connection):
    chain = open_chain(connection)
    for number, now_us in ((4, 10_000_000), (5, 0)):
        chain.hear("ICICI", HEAD._replace(number=number))
        write(connection, chain, f"note {number}", now_us=now_us)
        assert chain.last_heard()[0].number == number


def test_what_was_said_once_is_put_on_record_once(connection):
    chain = open_chain(connection)
    chain.hear("ICICI", HEAD)
    for now_us in (1, 10_000_000):
        write(connection, chain, "a", now_us=now_us)
    assert len(chain.heard_with(0, 2)) == 1


@pytest.mark.parametrize("table", ["link", "heard"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET number = 9", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_the_chain(connection, table, statement):
    chain = open_chain(connection)
    chain.hear("ICICI", HEAD)
    write(connection, chain, "a")
    with pytest.raises(apsw.ConstraintError, match="written once"):
        connection.execute(statement.format(table))


def test_a_payment_in_a_batch_costs_next_to_nothing(connection):
    chain = open_chain(connection)
    records = [(bytes(16), "alice", n) for n in range(1024)]
    cheapest_s = min(_time(lambda: chain.append(records, 0)) for _ in range(20))
    assert cheapest_s / len(records) < 2e-6


def _time(work):
    began = time.process_time()
    work()
    return time.process_time() - began
