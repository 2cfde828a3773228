"""The report: one page that fetches nothing, well-formed, with every load in every plot."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from orchestrator.benchmark.plots import Bar, Curve, draw_bars, draw_curves
from orchestrator.benchmark.report import make_page, write_report
from orchestrator.benchmark.view import make_document
from tests.orchestrator.benchmark.results import make_result

MACHINE = {
    "at": "2026-03-01T12:00:00Z", "cores": 2, "memory_bytes": 8 * 2**30, "python": "3.11.7", "system": "Linux 6.1",
    "file_system": "ext4", "fsync_ms": 0.2,
}  # fmt: skip


@pytest.fixture
def document():
    results = [make_result(), make_result("one", faults=["HDFC: <b>gone</b>"], **{"failed: ABORTED": 3})]
    return json.loads(json.dumps(make_document(results, MACHINE)))


def plots_of(page):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


class Fetches(HTMLParser):
    """Collects whatever a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        self.found += [tag] if tag in ("script", "link", "iframe", "img") else []


def test_the_page_fetches_nothing(document):
    page = make_page(document)
    fetches = Fetches()
    fetches.feed(page)
    assert fetches.found == []
    assert "url(" not in page
    assert "@import" not in page


def test_every_load_is_in_every_plot(document):
    rates, costs, shares, *over_time = plots_of(make_page(document))
    assert [len(plot.findall("rect")) for plot in (rates, costs)] == [2, 6]  # gateway, banks, callers of each
    assert len(shares.findall("polyline")) == 2
    assert [len(plot.findall("polyline")) for plot in over_time] == [1, 1]


def test_faults_are_told_and_no_text_becomes_markup(document):
    page = make_page(document)
    assert "<td>FAILED</td>" in page
    assert "HDFC: &lt;b&gt;gone&lt;/b&gt;" in page
    assert "3 failed: ABORTED" in page
    assert "<b>" not in page


def test_the_figures_lie_beside_the_page(tmp_path, document):
    page = write_report(tmp_path / "new" / "report", document)
    assert page.read_text() == make_page(document)
    assert json.loads((page.parent / "bench.json").read_text()) == document


def test_bars_are_to_one_scale():
    plot = ElementTree.fromstring(draw_bars([Bar("a", [("", 50)]), Bar("b", [("x", 75), ("y", 25)])], "ms"))
    a, x, y = (float(rect.get("width", "")) for rect in plot.findall("rect"))
    assert (x / a, y / a) == (pytest.approx(1.5, rel=0.01), pytest.approx(0.5, rel=0.01))
    assert [rect.find("title").text for rect in plot.findall("rect")] == [
        "a:  50.0 ms",
        "b: x 75.0 ms",
        "b: y 25.0 ms",
    ]


@pytest.mark.parametrize("is_x_logarithmic", [True, False])
@pytest.mark.parametrize("points", [[], [(1.0, 0.0)], [(0.0, 1.0), (0.0, 2.0)], [(0.5, 1.0), (50.0, 3.0)]])
def test_any_points_can_be_drawn_and_stay_inside(points, is_x_logarithmic):
    plot = ElementTree.fromstring(draw_curves([Curve("a", points)], "ms", is_x_logarithmic=is_x_logarithmic))
    width, height = map(float, plot.get("viewBox", "").split()[2:])
    for polyline in plot.findall("polyline"):
        for pair in polyline.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(1.9, ["0", "0.5", "1", "1.5"]), (130, ["0", "20", "40", "60", "80", "100", "120"]), (8, [*"012345678"])],
)
def test_ticks_are_round(highest, ticks):
    plot = ElementTree.fromstring(draw_curves([Curve("a", [(0, 0), (highest, 1)])], "s", is_x_logarithmic=False))
    texts = [text.text for text in plot.findall("text") if text.get("text-anchor") == "middle"]
    assert texts[:-1] == ticks


def test_nothing_measured_is_a_page_all_the_same():
    assert "<table>" in make_page(make_document([], MACHINE))
