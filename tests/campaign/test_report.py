"""The report: a page that stands alone and shows what failed, JUnit for CI, and a bundle for a replay."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from orchestrator.campaign import schedule
from orchestrator.campaign.campaign import Result
from orchestrator.campaign.figures import compute
from orchestrator.campaign.history import COMMITTED, Attempt, Recorder, Request, read
from orchestrator.campaign.judge import Check
from orchestrator.campaign.nemesis import Deed
from orchestrator.campaign.report import write_report

GOOD = Check("told", "every outcome that a client was told is in the files", 12, ())
BAD = Check("money", "no money was made or lost", 1, ("money: INR: 5 was lost <script>alert(1)</script> \x00",))


def make_result(folder, *checks: Check) -> Result:
    plan = schedule.draw(5, 20, ("HDFC", "SBI"))
    (folder / "cluster.yaml").write_text("name: campaign.local\n")
    recorder = Recorder(folder / "history.jsonl")
    for number in range(40):
        request = Request("alice", f"p{number}", "alice@HDFC", "bob@SBI", 1)
        recorder.write(Attempt("alice-0", request, number / 2, number / 2 + 0.01 * number, COMMITTED))
    recorder.close()
    deeds = [Deed(step, step.at_s, step.at_s + step.lasts_s) for step in plan.steps]
    deeds[0].failure = "no supervisor runs in <here>"
    figures = compute(recorder.lines, deeds, 20.0)
    return Result(plan, deeds, list(checks), figures, folder / "history.jsonl")


class Tags(HTMLParser):
    """Keeps count of what is open, and all texts."""

    VOID = ("meta", "line", "rect", "circle", "path", "link", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts = ""

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts += data


@pytest.mark.parametrize(("checks", "verdict"), [((GOOD,), "Passed"), ((GOOD, BAD), "Failed: 1 of 2 checks")])
def test_the_page_stands_alone_and_says_the_verdict(tmp_path, checks, verdict):
    write_report(make_result(tmp_path, *checks), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert {"svg", "table"} <= tags.names
    assert not {"script", "img", "link", "iframe"} & tags.names
    assert not re.findall(r"""(?:src|href)=|url\(|@import|nan""", page)
    assert verdict in tags.texts


def test_junit_has_a_case_for_each_check_and_the_finding_of_those_that_failed(tmp_path):
    write_report(make_result(tmp_path, GOOD, BAD), tmp_path / "report")
    suite = ElementTree.parse(tmp_path / "report" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    [failure] = suite.iter("failure")
    assert failure.get("message", "").startswith("money: INR: 5 was lost")


def test_the_bundle_does_it_again(tmp_path):
    result = make_result(tmp_path, GOOD)
    folder = tmp_path / "a report"
    write_report(result, folder)
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["replay"] == f"cluster chaos run '{folder}/schedule.json'"
    assert schedule.read((folder / "schedule.json").read_text()) == result.schedule
    assert len(read([folder / "history.jsonl"])) == verdict["figures"]["acknowledged"] == 40
    assert (folder / "cluster.yaml").read_text() == "name: campaign.local\n"
    assert len(json.loads((folder / "deeds.json").read_text())) == len(result.deeds)


def test_a_history_is_read_back_and_a_line_that_was_cut_off_is_left_out(tmp_path):
    result = make_result(tmp_path, GOOD)
    with result.history.open("a") as file:
        file.write('{"client": "alice-0", "req')
    assert len(read([result.history])) == 40


def test_a_campaign_in_which_nothing_happened_has_a_report_all_the_same(tmp_path):
    result = make_result(tmp_path, GOOD)
    empty = Result(result.schedule, [], [GOOD], compute([], [], 0.2), result.history)
    write_report(empty, tmp_path / "report")
    assert "Nothing was killed" in (tmp_path / "report" / "index.html").read_text()


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.write(Attempt("alice-0", Request("alice", "p0", "alice@HDFC", "bob@SBI", 1), 0.0, 1.0, COMMITTED))
    assert read([tmp_path / "history.jsonl"]) == recorder.lines
    recorder.close()


def test_a_check_that_found_something_spoils_it_all_however_little_it_looked_at(tmp_path):
    assert make_result(tmp_path, GOOD).is_passed
    assert not make_result(tmp_path, GOOD, BAD._replace(examined=0)).is_passed
    assert not make_result(tmp_path, BAD, GOOD).is_passed


def test_what_a_caller_says_once_all_is_being_judged_changes_nothing(tmp_path):
    recorder = Recorder(tmp_path / "history.jsonl")
    late = Attempt("alice-0", Request("alice", "p0", "alice@HDFC", "bob@SBI", 1), 0.0, 1.0, COMMITTED)
    recorder.write(late)
    recorder.close()
    recorder.write(late)
    assert recorder.lines == read([tmp_path / "history.jsonl"]) == [late]
