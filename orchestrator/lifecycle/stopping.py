"""Taking a cluster down, whatever state its supervisor is in."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from orchestrator.lifecycle.starting import Nodes
from orchestrator.supervision.control import SupervisorAway, SupervisorSilent, follow
from orchestrator.supervision.lock import is_held, read_owner

_SILENT_AFTER_S = 3.0
_ENDS_WITHIN_S = 5.0
_RETRY_S = 0.02


class CannotStop(Exception):
    """The supervisor lives on; the message says which process it is."""


def stop_cluster(socket: Path, *, watch: Callable[[Nodes], None] = lambda _: None) -> bool:
    """Have every node and the supervisor end; tell whether there was one. Raises `CannotStop`.

    A supervisor that does not answer is killed: its nodes end by themselves then.
    """
    lock = socket.with_name("supervisor.lock")
    try:
        for answer in follow(socket, {"do": "stop"}, within_s=_SILENT_AFTER_S):
            watch(answer["nodes"])
    except SupervisorAway:
        if not is_held(lock):
            return False
        _kill_owner(lock)
    except SupervisorSilent:
        _kill_owner(lock)
    _wait_for_release(lock)
    return True


def _kill_owner(lock: Path) -> None:
    pid = read_owner(lock)
    if pid is None:
        raise CannotStop(f"{lock} is held by a process that did not say who it is; find it with `fuser {lock}`")
    # By pid and time of creation, so never a stranger.
    psutil.Process(pid).kill()


def _wait_for_release(lock: Path) -> None:
    deadline_s = time.monotonic() + _ENDS_WITHIN_S
    while is_held(lock):
        if time.monotonic() >= deadline_s:
            raise CannotStop(f"the supervisor (process {read_owner(lock)}) does not end; see its log")
        time.sleep(_RETRY_S)
