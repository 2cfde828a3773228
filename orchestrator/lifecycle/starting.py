"""Starting a supervisor in the background, and waiting until its nodes are as they should be."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodes.runtime.crash_points import reach
from orchestrator.layout.ports import find_trouble
from orchestrator.supervision.control import SupervisorAway, ask, follow
from orchestrator.supervision.lock import FolderLock, Taken, is_held, read_owner
from orchestrator.supervision.plan import Plan, write_plan
from orchestrator.supervision.processes import clean_environment, open_output, trim_output

Node = dict[str, Any]
Nodes = list[Node]

_RETRY_S = 0.02
_ANSWERS_WITHIN_S = 15.0
_PORTS_FREE_WITHIN_S = 1.5
_SILENT_AFTER_S = 5.0


class CannotStart(Exception):
    """Nothing was started; the message says why and what to do."""


class NotInTime(Exception):
    """The nodes were not as they should be in time. ``nodes`` is how they are."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__("not in time")
        self.nodes = nodes


def join_or_start(
    socket: Path, prepare: Callable[[], Plan], *, within_s: float, lifeline_fd: int | None = None
) -> bool:
    """Have a supervisor run behind ``socket``; tell whether it was started here.

    Whoever comes while another prepares waits for it and joins what it started.
    ``prepare`` makes ready what the nodes need, and returns the plan. A supervisor that is
    started here ends with the pipe ``lifeline_fd``. Raises `CannotStart`, and what
    ``prepare`` raises; nothing runs then.
    """
    deadline_s = time.monotonic() + within_s
    if is_answering(socket):
        return False
    with FolderLock(socket.with_name("up.lock")) as lock:
        try:
            lock.take(within_s=within_s)
            wait_for_end(socket, within_s=deadline_s - time.monotonic())
        except Taken as error:
            raise CannotStart(f"{error}, which starts or ends this cluster; wait for it, or end it") from error
        if is_answering(socket):
            return False
        reach("up.start.unprepared")
        plan = prepare()
        reach("up.start.prepared")
        demand_ports(plan)
        start_supervisor(plan, Path(plan.journal).with_name("supervisor.stderr"), lifeline_fd)
        return True


def wait_for_end(socket: Path, *, within_s: float) -> None:
    """Return when no supervisor is about to end; raises `Taken` if one is for too long."""
    lock = socket.with_name("supervisor.lock")
    deadline_s = time.monotonic() + within_s
    while is_held(lock) and not is_answering(socket):
        if time.monotonic() >= deadline_s:
            raise Taken(f"{lock} is held by process {read_owner(lock) or 'unknown'}")
        time.sleep(_RETRY_S)


def demand_ports(plan: Plan) -> None:
    """Raise `CannotStart`, with who is in the way, unless every node and link can listen at its address."""
    # What a killed supervisor left behind is ending right now, if at all.
    deadline_s = time.monotonic() + _PORTS_FREE_WITHIN_S
    addresses = [(each.name, each.address) for each in plan.launches]
    addresses += [(f"the link {each.name}", each.address) for each in plan.links]
    for name, address in addresses:
        while (trouble := find_trouble(address)) is not None:
            if time.monotonic() >= deadline_s:
                raise CannotStart(
                    f"{name} cannot listen at {address}: {trouble}; "
                    f"end that process, or give {name} another address in cluster.yaml"
                )
            time.sleep(_RETRY_S)


def start_supervisor(plan: Plan, output: Path, lifeline_fd: int | None = None) -> None:
    """Start a supervisor for ``plan`` that outlives this process; returns when it answers.

    With ``lifeline_fd`` it ends when that pipe does. What it prints goes to ``output``.
    Raises `CannotStart`.
    """
    ropes = () if lifeline_fd is None else (lifeline_fd,)
    flags = [f"--lifeline-fd={rope}" for rope in ropes]
    trim_output(output)
    with open_output(output) as out:
        printed_from = out.tell()
        daemon = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "orchestrator.supervision.supervisor", *flags],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            pass_fds=ropes,
            start_new_session=True,
            env=clean_environment(),
            cwd="/",
        )
    assert daemon.stdin is not None
    reach("up.supervisor.unplanned")
    with daemon.stdin as stdin:
        stdin.write(write_plan(plan))
    reach("up.supervisor.planned")
    deadline_s = time.monotonic() + _ANSWERS_WITHIN_S
    while not is_answering(Path(plan.socket)):
        if daemon.poll() is not None:
            words = output.read_bytes()[printed_from:].decode(errors="replace").strip().splitlines()
            raise CannotStart(
                f"the supervisor ended with code {daemon.returncode}: {words[-1] if words else output}"
            )
        if time.monotonic() >= deadline_s:
            daemon.kill()
            daemon.wait()
            raise CannotStart(f"the supervisor did not answer within {_ANSWERS_WITHIN_S:g} s; see {output}")
        time.sleep(_RETRY_S)
    # It is meant to outlive us; that nobody waits for it here is no leak.
    daemon.returncode = 0


def all_serve(nodes: Nodes) -> bool:
    """Tell whether every node is ready for payments."""
    return all(node["is_ready"] for node in nodes)


def is_answering(socket: Path) -> bool:
    """Tell whether a supervisor answers that is not about to end."""
    try:
        answer = ask(socket, {"do": "status"})
    except SupervisorAway:
        return False
    return not answer["supervisor"]["is_stopping"]


def wait_for(
    socket: Path,
    is_settled: Callable[[Nodes], bool],
    *,
    within_s: float,
    watch: Callable[[Nodes], None] = lambda _: None,
) -> Nodes:
    """Return the nodes when they are settled; ``watch`` sees them at every change until then.

    Raises `NotInTime`, and `SupervisorAway` when the supervisor ends meanwhile.
    """
    deadline_s = time.monotonic() + within_s
    for answer in follow(socket, {"do": "watch"}, within_s=_SILENT_AFTER_S):
        nodes: Nodes = answer["nodes"]
        if is_settled(nodes):
            return nodes
        if time.monotonic() >= deadline_s:
            raise NotInTime(nodes)
        watch(nodes)
    raise SupervisorAway("the supervisor went away meanwhile; was the cluster taken down? see `cluster events`")
