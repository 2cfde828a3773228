"""A node that obeys flags, for tests of its supervisor: answers one line of JSON to whoever connects."""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--exit", type=int, help="say why and end with this code at once")
    parser.add_argument("--exit-if", type=Path, help="only if this file is there")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--ignore-lifeline", action="store_true", help="be one whose starter's death kills it")
    parser.add_argument("--not-ready", default="", help="answer, but with this reason not to be ready")
    parser.add_argument("--child", type=Path, help="start a child and write its pid here")
    parser.add_argument("--false-instance", action="store_true", help="answer as another process would")
    flags = parser.parse_args()
    if flags.exit is not None and (flags.exit_if is None or flags.exit_if.exists()):
        sys.stderr.write("cannot go on\n")
        sys.exit(flags.exit)
    if flags.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if flags.ignore_lifeline:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if flags.child:
        flags.child.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    serve(flags)


def serve(flags: argparse.Namespace) -> None:
    host, _, port = flags.listen.rpartition(":")
    answer = {
        "instance": "another" if flags.false_instance else flags.instance,
        "is_ready": not flags.not_ready,
        "not_ready_reason": flags.not_ready,
        "detail": {"committed": 3, "declined": 1},
    }
    watched: list[int] = [] if flags.ignore_lifeline else [flags.lifeline_fd]
    with socket.create_server((host, int(port))) as listener:
        while True:
            readable = select.select([listener.fileno(), *watched], [], [])[0]
            if flags.lifeline_fd in readable:
                os._exit(1)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
