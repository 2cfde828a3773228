"""The control socket from the side of the commands: what a dying supervisor leaves half done is said as such."""

import socket
from pathlib import Path

import pytest

from orchestrator import control


def test_a_supervisor_that_dies_before_it_has_read_the_request_is_away(monkeypatch):
    ours, its = socket.socketpair()
    its.close()
    monkeypatch.setattr(control, "_connect", lambda *_: ours)
    with pytest.raises(control.SupervisorAway, match="went away before it answered 'status'"):
        control.ask(Path("control.sock"), {"do": "status"})


def test_a_supervisor_that_dies_in_the_middle_of_an_answer_is_away(monkeypatch):
    ours, its = socket.socketpair()
    its.sendall(b'{"nodes": [')
    its.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(control, "_connect", lambda *_: ours)
    with its, pytest.raises(control.SupervisorAway):
        control.ask(Path("control.sock"), {"do": "status"})
