"""The control socket, as the supervisor sees it: listens, hears its own user alone, answers."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from orchestrator.supervision.control import Message, reachable, read_peer

Answer = Callable[[Message], AsyncGenerator[Message, None]]
"""Answers one request with one message or more; ValueError and LookupError become refusals."""

_REQUEST_MAX_BYTES = 64 * 1024


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``; call it only while holding the lock of the folder."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with reachable(path) as short:
            listener.bind(short)
    finally:
        os.umask(before)
    listener.listen(64)
    listener.setblocking(False)
    return listener


async def serve(listener: socket.socket, answer: Answer) -> asyncio.Server:
    """Answer every connection of our own user with ``answer``."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await _converse(reader, writer, answer)
        writer.close()

    return await asyncio.start_server(converse, sock=listener, limit=_REQUEST_MAX_BYTES)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    _, uid = read_peer(writer.get_extra_info("socket"))
    try:
        if uid != os.getuid():
            raise ValueError(f"user {uid} may not command this cluster")
        request = _read_request(await reader.readline())
        await _answer_while_heard(reader, writer, answer(request))
    except (ValueError, LookupError) as error:
        await _write(writer, {"error": str(error.args[0]) if error.args else "refused"})


async def _answer_while_heard(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: AsyncGenerator[Message, None]
) -> None:
    """Write the answers, until whoever asked hangs up: what goes on for their sake ends then, at once."""
    answering = asyncio.ensure_future(_write_all(writer, messages))
    hearing = asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait((answering, hearing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        hearing.cancel()
        answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering


async def _write_all(writer: asyncio.StreamWriter, messages: AsyncGenerator[Message, None]) -> None:
    async with aclosing(messages):
        async for message in messages:
            await _write(writer, message)


def _read_request(line: bytes) -> Message:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("do"), str):
        raise ValueError("a request is one line of JSON with a key 'do'")
    return request


async def _write(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()
