"""A28: the control socket is for the supervisor's own user, by its mode and by the kernel's word."""

import asyncio
import json
import os
import stat
from contextlib import suppress

import pytest

from orchestrator.supervision import control_server
from orchestrator.supervision.control_server import listen, serve


@pytest.fixture
async def heard(tmp_path):
    """Serve a control socket; what was asked is collected."""
    heard = []

    async def answer(request):
        heard.append(request)
        yield {"done": True}

    server = await serve(listen(tmp_path / "control.sock"), answer)
    yield heard
    server.close()


async def ask(tmp_path, line):
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control.sock"))
    answer = b""
    with suppress(ConnectionError):  # whoever says too much is hung up on
        writer.write(line)
        answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return [json.loads(line) for line in answer.splitlines()]


async def test_only_its_owner_may_open_the_socket(heard, tmp_path):
    assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


async def test_another_user_is_not_heard_even_if_the_socket_lets_them_in(heard, tmp_path, monkeypatch):
    own = os.getuid()
    monkeypatch.setattr(control_server.os, "getuid", lambda: own + 1)
    assert await ask(tmp_path, b"") == [{"error": f"user {own} may not command this cluster"}]
    await ask(tmp_path, b'{"do": "stop"}\n')
    assert not heard


@pytest.mark.parametrize(
    "line",
    [b"\n", b"stop\n", b"\xff\xfe\n", b"[]\n", b'{"do": 7}\n', b"[" * 60_000 + b"\n"],
)
async def test_what_is_no_request_is_refused_and_ends_nothing(heard, tmp_path, line):
    [refused] = await ask(tmp_path, line)
    assert refused == {"error": "a request is one line of JSON with a key 'do'"}
    assert not heard
    assert await ask(tmp_path, b'{"do": "status"}\n') == [{"done": True}]


async def test_whoever_says_too_much_is_hung_up_on(heard, tmp_path):
    await ask(tmp_path, b"x" * 200_000)
    assert not heard
    assert await ask(tmp_path, b'{"do": "status"}\n') == [{"done": True}]
