"""The control socket: a dying supervisor is said to be away, and who hangs up is noticed at once."""

import asyncio
import socket
from pathlib import Path

import pytest

from orchestrator.supervision import control, control_server


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


async def test_what_goes_on_for_somebody_ends_as_soon_as_they_hang_up(tmp_path):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def answer(_):
        try:
            yield {"begun": True}
            begun.set()
            # Nothing more is ever said, so no failing write can tell that nobody listens.
            await asyncio.Event().wait()
        finally:
            ended.set()

    path = tmp_path / "control.sock"
    server = await control_server.serve(control_server.listen(path), answer)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"do": "go on"}\n')
    async with asyncio.timeout(10):
        assert await reader.readline() == b'{"begun": true}\n'
        await begun.wait()
        assert not ended.is_set()
        writer.close()
        await ended.wait()
    server.close()
