"""What is shown of a measurement."""

import json

from orchestrator.benchmark.view import format_table, make_document
from tests.orchestrator.benchmark.results import make_result


def test_a_line_has_rate_latencies_costs_and_the_verdict():
    heading, line = format_table([make_result()], is_wide=False)
    shown = dict(zip(heading.split("  "), line.split("  "), strict=False))
    assert shown["LOAD"].startswith("unary, 64 at once")
    assert line.removeprefix("unary, 64 at once").split() == [
        "500", "10.0", "10.0", "10.0", "80.0",  # 1,000 payments in 2 s
        "500.0", "500.0", "100.0",  # 0.5 s, 0.2 + 0.3 s and 0.1 s of processor for 1,000 payments
        "90", "75", "200", "clean",
    ]  # fmt: skip


def test_faults_and_what_was_not_committed_are_told_below():
    lines = format_table(
        [make_result(faults=["HDFC: account alice is gone"], **{"failed: ABORTED": 3})], is_wide=False
    )
    assert lines[1].endswith("FAILED")
    assert lines[2:] == [
        "unary, 64 at once: 3 failed: ABORTED",
        "unary, 64 at once: HDFC: account alice is gone",
    ]


def test_wide_shows_every_process():
    lines = format_table([make_result()], is_wide=True)
    assert [line.split()[0] for line in lines[3:]] == [
        "unary,",
        "PROCESS",
        "gateway",
        "BANK01",
        "BANK02",
        "caller",
    ]
    assert lines[-2].split() == ["BANK02", "300.0", "15%", "75", "150", "6.7", "500"]


def test_the_document_says_all_of_it_and_is_json():
    document = json.loads(json.dumps(make_document([make_result(), make_result("one")], {"cores": 2})))
    assert document["machine"] == {"cores": 2}
    [unary, one] = document["loads"]
    assert (unary["load"], one["load"]) == ("unary", "one")
    assert (unary["payments"], unary["payments_per_s"], unary["measured_s"]) == (1000, 500.0, 2.0)
    assert unary["latency_ms"]["max"] == 80.0
    assert unary["payments_by_tenth_of_second"] == [400] + [0] * 18 + [600]
    assert unary["audit"] == {"is_clean": True, "faults": []}
    assert [process["fsyncs"] for process in unary["processes"]] == [100, 150, 150, 0]


def test_nothing_paid_is_no_division_by_nothing():
    result = make_result()
    result.tally.latencies = type(result.tally.latencies)()
    assert format_table([result], is_wide=True)[1].removeprefix("unary, 64 at once").split()[0] == "0"
