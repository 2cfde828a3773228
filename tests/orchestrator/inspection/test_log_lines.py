"""Logs of several nodes read as one, from files as the nodes leave them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.inspection.log_lines import Filter, Tail, parse_since, read_last


def write(path: Path, *seconds: int, **fields: str) -> None:
    with path.open("a") as file:
        for second in seconds:
            line = {"time": f"2026-03-01T12:00:{second:02}.000Z", "event": f"{path.name} {second}", **fields}
            file.write(json.dumps(line) + "\n")


def events(lines: list[object]) -> list[str]:
    return [line.fields["event"] for line in lines]  # type: ignore[attr-defined]


def last(logs: Path, wanted: Filter | None = None, count: int = 50) -> list[str]:
    return events(list(read_last(logs, ["gateway", "HDFC"], wanted or Filter(), count)))


def test_lines_of_all_nodes_are_merged_by_time(tmp_path: Path) -> None:
    write(tmp_path / "gateway.log", 1, 4)
    write(tmp_path / "HDFC.log", 2, 3)
    assert last(tmp_path) == ["gateway.log 1", "HDFC.log 2", "HDFC.log 3", "gateway.log 4"]


def test_only_the_last_are_shown_of_all_together(tmp_path: Path) -> None:
    write(tmp_path / "gateway.log", 1, 2, 3)
    write(tmp_path / "HDFC.log", 4)
    assert last(tmp_path, count=2) == ["gateway.log 3", "HDFC.log 4"]
    assert last(tmp_path, count=0) == []


def test_rotated_files_are_read_oldest_first(tmp_path: Path) -> None:
    write(tmp_path / "HDFC.log.2", 1)
    write(tmp_path / "HDFC.log.1", 2)
    write(tmp_path / "HDFC.log", 3)
    assert last(tmp_path, count=2) == ["HDFC.log.1 2", "HDFC.log 3"]


def test_filters_narrow_together(tmp_path: Path) -> None:
    write(tmp_path / "gateway.log", 1, 2, payment_id="p1")
    write(tmp_path / "HDFC.log", 3, payment_id="p2")
    assert last(tmp_path, Filter(payment_id="p1")) == ["gateway.log 1", "gateway.log 2"]
    assert last(tmp_path, Filter(since="2026-03-01T12:00:02.000Z", payment_id="p1")) == ["gateway.log 2"]
    assert last(tmp_path, Filter(pattern=re.compile("HDFC.*3"))) == ["HDFC.log 3"]


def test_what_a_process_printed_is_dated_by_its_file(tmp_path: Path) -> None:
    write(tmp_path / "gateway.log", 1)
    (tmp_path / "HDFC.stderr").write_text("Traceback\n")
    assert last(tmp_path) == ["gateway.log 1", "Traceback"]


def test_a_torn_line_is_shown_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "HDFC.log").write_bytes(b'{"time": "2026-03-01T12:00:01.000Z", "ev\xff')
    assert last(tmp_path) == ['{"time": "2026-03-01T12:00:01.000Z", "ev\N{REPLACEMENT CHARACTER}']


def test_a_tail_hands_out_what_is_new_and_whole(tmp_path: Path) -> None:
    write(tmp_path / "HDFC.log", 1)
    tail = Tail(tmp_path, ["HDFC"])
    assert tail.read_new(Filter()) == []
    with (tmp_path / "HDFC.log").open("a") as file:
        file.write('{"event": "half')
    assert tail.read_new(Filter()) == []
    with (tmp_path / "HDFC.log").open("a") as file:
        file.write(' and whole"}\n')
    assert events(list(tail.read_new(Filter()))) == ["half and whole"]
    assert tail.read_new(Filter()) == []


def test_a_tail_survives_rotation_and_truncation(tmp_path: Path) -> None:
    write(tmp_path / "HDFC.log", 1, 2)
    tail = Tail(tmp_path, ["HDFC"])
    (tmp_path / "HDFC.log").rename(tmp_path / "HDFC.log.1")
    write(tmp_path / "HDFC.log", 3)
    assert events(list(tail.read_new(Filter()))) == ["HDFC.log 3"]
    (tmp_path / "HDFC.log").write_text("")
    assert tail.read_new(Filter()) == []
    write(tmp_path / "HDFC.log", 4)
    assert events(list(tail.read_new(Filter()))) == ["HDFC.log 4"]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("90s", "2026-03-01T11:58:30.000Z"),
        ("5m", "2026-03-01T11:55:00.000Z"),
        ("2h", "2026-03-01T10:00:00.000Z"),
        ("1d", "2026-02-28T12:00:00.000Z"),
        ("999999999d", "1970-01-01T00:00:00.000Z"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000Z"),
        ("2026-01-31T10:00:00+05:30", "2026-01-31T04:30:00.000Z"),
    ],
)
def test_since(text: str, since: str) -> None:
    assert parse_since(text, datetime(2026, 3, 1, 12, tzinfo=UTC)) == since


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 minutes", "yesterday", "1.5h"])
def test_a_senseless_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time; write 90s, 5m"):
        parse_since(text)
