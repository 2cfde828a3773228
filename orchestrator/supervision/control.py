"""The control socket, as the commands see it: how commands talk to the supervisor of their folder.

One request a connection, one line of JSON: ``{"do": "status"}``. The answer is one line,
or many for what goes on (``events``, ``watch``); a refusal is ``{"error": "..."}``. Only
processes of the same user are heard: the socket has mode 0600, and the peer's uid is
checked by the kernel's word (SO_PEERCRED, unix(7)).

A path of any length works: it is reached through a descriptor of its folder, as
sun_path holds but 107 bytes. Plain sockets, so that `status` need not load asyncio;
the supervisor's side is `control_server`.
"""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Message = dict[str, Any]
_CREDENTIALS = struct.Struct("3i")


class SupervisorAway(Exception):
    """No supervisor runs in this folder."""


class SupervisorSilent(Exception):
    """A supervisor runs but does not answer. ``pid`` is its process."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"the supervisor (process {pid}) does not answer; `cluster down` ends it")
        self.pid = pid


class Refused(Exception):
    """The supervisor will not do what it was asked; the message says why."""


def ask(path: Path, request: Message, *, within_s: float = 5.0) -> Message:
    """Return the supervisor's one answer. Raises `SupervisorAway`, `SupervisorSilent` or `Refused`."""
    for answer in follow(path, request, within_s=within_s):
        return answer
    raise SupervisorAway(f"the supervisor went away before it answered {request['do']!r}")


def follow(path: Path, request: Message, *, within_s: float | None = None) -> Iterator[Message]:
    """Yield the supervisor's answers until it ends them; ``within_s`` limits the wait for each."""
    connection = _connect(path, within_s)
    # Read by a file, written without: what a dying supervisor did not take must not be written again at closing.
    with connection, connection.makefile("rb") as stream:
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            while (line := stream.readline()).endswith(b"\n"):
                answer: Message = json.loads(line)
                if "error" in answer:
                    raise Refused(answer["error"])
                yield answer
        except TimeoutError as error:
            raise SupervisorSilent(read_peer(connection)[0]) from error
        except ConnectionError:
            return


def _connect(path: Path, within_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(within_s)
    try:
        with reachable(path) as short:
            connection.connect(short)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        raise SupervisorAway(
            f"no supervisor runs in {path.parent.parent}: `cluster up` starts the cluster"
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a short path to ``path`` for as long as the context lasts."""
    folder_fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder_fd}/{path.name}"
    finally:
        os.close(folder_fd)


def read_peer(connection: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end, by the kernel's word."""
    pid, uid, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return pid, uid
