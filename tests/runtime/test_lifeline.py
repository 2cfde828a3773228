"""A node ends when its starter is gone."""

import os
import select
import subprocess
import sys

import pytest

_CHILD = """
import sys, threading
from nodes.runtime.lifeline import end_with_parent
end_with_parent(int(sys.argv[1]))
print("tied", flush=True)
threading.Event().wait()
"""
_PARENT = f"""
import subprocess, sys, threading
command = [sys.executable, "-c", {_CHILD!r}, sys.argv[1]]
child = subprocess.Popen(command, pass_fds=[int(sys.argv[1])], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
threading.Event().wait()
"""


@pytest.fixture
def pipe():
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


def test_a_node_ends_when_the_pipe_does(pipe):
    read_end, write_end = pipe
    command = [sys.executable, "-c", _CHILD, str(read_end)]
    with subprocess.Popen(command, pass_fds=[read_end], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"tied\n"
        assert child.poll() is None
        os.close(write_end)
        assert child.wait(10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_node_ends_when_its_parent_is_killed_though_the_pipe_stays_open(pipe):
    read_end, write_end = pipe
    command = [sys.executable, "-c", _PARENT, str(read_end)]
    with subprocess.Popen(command, pass_fds=[read_end], stdout=subprocess.PIPE) as parent:
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(10)
    ended, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    os.close(write_end)
    assert ended
