"""The table of the README: ratios of one run, against the best of the peers."""

import json

import pytest

from benchmarks.figures import Figures
from benchmarks.table import BEGIN, END, Row, format_markdown, put_between_marks
from orchestrator.benchmark.latencies import Latencies
from orchestrator.benchmark.view import make_document
from tests.orchestrator.benchmark.results import make_result

OURS = Figures(4500, 12.34, 30.0, 321.0)
SLOW, FAST = Figures(900, 30, 60, 500), Figures(3000, 20, 40, 400)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_the_ratio_to_the_fastest_peer_and_that_peers_latencies():
    row = Row("64 callers", OURS, {"decision log": SLOW, "last agent": FAST})
    heading, _, line, *_ = format_markdown([row], "2 cores").splitlines()
    shown = dict(zip(cells(heading), cells(line), strict=True))
    assert shown["load"] == "64 callers"
    assert shown["payments/s here"] == "**4,500**"
    assert (shown["decision log"], shown["last agent"]) == ("900", "3,000")
    assert shown["ratio to the best"] == "**1.5**"
    assert shown["p50 / p99 ms here"] == "12.3 / 30.0"
    assert cells(line)[-3:] == ["20.0 / 40.0", "321", "400"]


def test_a_peer_that_has_no_such_load_leaves_its_cell_empty():
    rows = [Row("1", OURS, {"a": SLOW, "b": FAST}), Row("2", OURS, {"a": SLOW})]
    lines = format_markdown(rows, "2 cores").splitlines()
    assert cells(lines[3])[2:4] == ["900", ""]
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[-1] == "2 cores"


def test_the_table_takes_the_place_of_the_last_one():
    document = f"before\n{BEGIN}\nold\nolder\n{END}\nafter\n"
    assert put_between_marks(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_document_without_a_place_for_it_is_refused(text):
    with pytest.raises(ValueError, match="there is no"):
        put_between_marks(text, "new")


def test_figures_of_the_bench_and_of_a_peer_mean_the_same():
    document = json.loads(json.dumps(make_document([make_result()], {})))
    latencies = Latencies()
    latencies.add(0.010, 999)
    latencies.add(0.080)
    measured = Figures.of(latencies, measured_s=2.0, cpu_s=1.1)
    assert Figures.read(document["loads"][0]) == pytest.approx(measured, rel=0.01)
