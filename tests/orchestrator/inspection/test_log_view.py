"""Log lines on a terminal: what callers wrote into them stays text."""

import json

import pytest

from orchestrator.inspection.log_lines import LogLine
from orchestrator.inspection.log_view import show_event, show_line

WIPE = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize("text", [json.dumps({"event": "request", "user": WIPE, WIPE: 1}), f"{WIPE} printed"])
def test_no_line_of_a_log_sends_a_terminal_anything(text, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    show_line(LogLine("2026-03-01T12:00:00.000Z", "gateway", text))
    shown = capsys.readouterr().out.rstrip("\n")
    assert shown.isprintable()
    assert "owned" in shown


def test_no_event_does_either(capsys):
    show_event({"time": "2026-03-01T12:00:00.000Z", "node": "HDFC", "event": "not-ready", "text": WIPE})
    assert capsys.readouterr().out.rstrip("\n").isprintable()
