"""A port is free at every address that a name stands for, or it is named with what is in the way."""

import socket
from contextlib import closing

import pytest

from nodes.runtime.ports import PortUnusable, demand_free_port


def listen(host, family=socket.AF_INET):
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((host, 0))
    taken.listen()
    return taken


async def test_a_free_port_is_free():
    with closing(listen("127.0.0.1")) as freed:
        port = freed.getsockname()[1]
    await demand_free_port(f"localhost:{port}")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_name_of_which_one_address_is_taken_is_refused(host):
    with closing(listen(host)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnusable, match=rf"another process listens on port {port} of 127\.0\.0\.1"):
            await demand_free_port(f"localhost:{port}")


async def test_connections_that_linger_from_before_do_not_count():
    with closing(listen("127.0.0.1")) as before:
        port = before.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))):
            before.accept()[0].close()
    await demand_free_port(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("no-such-host.invalid:5000", "nobody knows the host no-such-host.invalid"),
        ("192.0.2.1:5000", "name an address of this machine"),
        ("a..b:5000", r"nobody knows the host a\.\.b"),
    ],
)
async def test_an_address_that_is_not_this_machines_is_named(address, said):
    with pytest.raises(PortUnusable, match=said):
        await demand_free_port(address)
