"""Who is in the way of a node's address."""

import os
import socket

from orchestrator.layout.ports import find_trouble
from tests.orchestrator.cluster_of_fakes import free_port


def test_a_free_address_is_no_trouble() -> None:
    assert find_trouble(f"localhost:{free_port()}") is None
    assert find_trouble(f"127.0.0.1:{free_port()}") is None
    assert find_trouble(f"[::1]:{free_port()}") is None


def test_the_process_that_listens_is_named() -> None:
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
        trouble = find_trouble(f"localhost:{port}")
    assert trouble is not None
    assert trouble.startswith(f"port {port} is in use by process {os.getpid()} (")


def test_an_unknown_host_is_named() -> None:
    trouble = find_trouble("no-such-host.invalid:50052")
    assert trouble is not None
    assert trouble.startswith("no-such-host.invalid is not a known host")
