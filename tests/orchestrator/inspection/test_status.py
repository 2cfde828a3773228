"""What the table says and what the command exits with, for every way a node can be."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.inspection.status import exit_code, hint, make_rows, make_stopped, summarise

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def node(name: str = "HDFC", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "role": "gateway" if name == "gateway" else "bank",
        "address": "localhost:60051",
        "state": "RUNNING",
        "is_answering": True,
        "is_ready": True,
        "reason": "",
        "pid": 41240,
        "started_at": "2026-03-01T11:59:48.000Z",
        "restarts": 0,
        "next_start_in_s": None,
        "cpu_percent": 1.04,
        "rss_bytes": 48 * 2**20,
        "counters": {},
        **fields,
    }


def info(**fields: Any) -> str:
    (row,) = make_rows([node(**fields)], NOW)
    return row.info


def test_a_line_says_it_all() -> None:
    counters = {"net_due_minor": -1_240_000, "currency": "INR", "in_doubt": 0}
    (row,) = make_rows([node(counters=counters, certificate_ends_at="2027-03-01T11:00:00+00:00")], NOW)
    assert " ".join(getattr(row, name) for name in row.__slots__) == (
        "HDFC bank RUNNING SERVING 41240 60051 00:12 0 1.0% 48 MB 364d net +12,400.00"
    )


def test_a_node_without_a_process_has_dashes() -> None:
    (row,) = make_rows([make_stopped("ICICI", "bank", "localhost:60052")], NOW)
    assert (row.state, row.health, row.pid, row.uptime, row.cpu, row.rss, row.cert) == (
        "STOPPED", "DOWN", "-", "-", "-", "-", "-",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("started_at", "uptime"),
    [
        ("2026-03-01T12:00:00.000Z", "00:00"),
        ("2026-03-01T11:00:01.000Z", "59:59"),
        ("2026-03-01T11:00:00.000Z", "1:00:00"),
        ("2026-02-26T07:55:55.000Z", "3d 04:04:05"),
        ("2026-03-01T12:00:09.000Z", "00:00"),
    ],
)
def test_uptime(started_at: str, uptime: str) -> None:
    (row,) = make_rows([node(started_at=started_at)], NOW)
    assert row.uptime == uptime


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({}, "SERVING"),
        ({"is_ready": False}, "NOT_SERVING"),
        ({"is_ready": False, "is_answering": False}, "DOWN"),
    ],
)
def test_health(fields: dict[str, Any], health: str) -> None:
    (row,) = make_rows([node(**fields)], NOW)
    assert row.health == health


def test_the_reason_comes_before_the_counters() -> None:
    counters = {"net_due_minor": 5, "currency": "INR"}
    assert info(reason="killed by signal 9", next_start_in_s=3.21) == "killed by signal 9; next start in 3.2 s"
    assert info(reason="the gateway is away", counters=counters) == "the gateway is away"
    assert info(counters=counters) == "net -0.05"
    assert info(counters={**counters, "net_due_minor": 0}) == "net 0.00"
    assert info() == ""


def test_the_gateway_counts_what_the_banks_hold_in_doubt() -> None:
    gateway = node("gateway", counters={"committed": 1204, "declined": 3})
    banks = [node("HDFC", counters={"in_doubt": 2}), node("SBI", counters={"in_doubt": 1})]
    assert make_rows([gateway, *banks], NOW)[0].info == "1,204 committed, 3 declined, 3 in doubt"


def test_a_fault_is_said_at_its_bank_and_counted_once() -> None:
    cut = {"id": "f1", "source": "HDFC", "target": "gateway", "text": "cut HDFC->gateway", "left_s": 12.4}
    slow = {"id": "f2", "source": "client", "target": "gateway", "text": "delay client->gateway", "left_s": 3}
    nodes = [node("gateway", faults=[cut, slow]), node("HDFC", faults=[cut]), node("SBI")]
    assert [row.info for row in make_rows(nodes, NOW)] == [
        "delay client->gateway (3 s left)",
        "cut HDFC->gateway (12 s left)",
        "",
    ]
    assert summarise(nodes) == "3 of 3 serving | 0 in doubt | faults: 2 active"
    assert hint(nodes) == "cluster chaos ls"


DOWN: dict[str, Any] = {"is_ready": False, "state": "BACKOFF"}
OLD: dict[str, Any] = {"counters": {"in_doubt": 1, "oldest_in_doubt_ms": 10_001}}
YOUNG: dict[str, Any] = {"counters": {"in_doubt": 1, "oldest_in_doubt_ms": 10_000}}


@pytest.mark.parametrize(
    ("gateway", "bank", "code"),
    [
        ({}, {}, 0),
        (DOWN, {}, 1),
        ({}, DOWN, 2),
        (DOWN, DOWN, 3),
        ({}, OLD, 4),
        (DOWN, OLD, 5),
        ({}, {**DOWN, **OLD}, 6),
        ({}, YOUNG, 0),
    ],
)
def test_the_exit_code_is_the_sum_of_what_is_wrong(
    gateway: dict[str, Any], bank: dict[str, Any], code: int
) -> None:
    assert exit_code([node("gateway", **gateway), node("HDFC", **bank)]) == code


def test_the_summary_says_whether_the_books_of_all_banks_added_up() -> None:
    sound = [node("gateway", counters={"money": "OK 38,000.00 INR", "money_failed": False})]
    assert summarise(sound) == "1 of 1 serving | money OK 38,000.00 INR | 0 in doubt"
    assert exit_code(sound) == 0
    failed = [node("gateway", counters={"money": "FAILED: HDFC and SBI differ", "money_failed": True})]
    assert "money FAILED: HDFC and SBI differ" in summarise(failed)
    assert (exit_code(failed), hint(failed)) == (8, "cluster audit")


def test_the_summary_counts() -> None:
    assert summarise([node("gateway"), node(**DOWN)]) == "1 of 2 serving | 0 in doubt"
    assert summarise([node(**OLD)]) == "1 of 1 serving | 1 in doubt (oldest 10 s)"


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({}, "cluster shell"),
        ({"is_ready": False}, "cluster events -f"),
        ({"is_ready": False, "state": "FATAL"}, "cluster logs HDFC; then cluster restart HDFC"),
        ({"is_ready": False, "reason": "paused and held by chaos"}, "cluster chaos resume HDFC"),
        ({"is_ready": False, "state": "BACKOFF", "reason": "killed by chaos"}, "cluster events -f"),
    ],
)
def test_the_hint_is_the_command_that_helps(fields: dict[str, Any], command: str) -> None:
    assert hint([node("gateway"), node(**fields)]) == command
    assert hint([make_stopped("HDFC", "bank", "localhost:1")]) == "cluster up"
