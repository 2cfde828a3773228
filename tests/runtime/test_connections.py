"""A connection that is cut off goes dead, then is reset; its neighbours do not notice, nor does gRPC."""

import asyncio
import itertools
import socket
from contextlib import closing

import pytest

from nodes.runtime import connections
from nodes.runtime.connections import Cutter, parse_peer
from tests.running_nodes import wait_until


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("ipv6:%5B::1%5D:50051", ("::1", 50051)),
        ("ipv6:[2001:db8::1]:1", ("2001:db8::1", 1)),
        ("unix:/tmp/x", None),
        ("ipv4:127.0.0.1", None),
        ("", None),
    ],
)
def test_the_names_that_grpc_gives_to_the_other_end_are_read(peer, address):
    assert parse_peer(peer) == address


@pytest.fixture(params=["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def lines(request):
    """Two connections that this process has accepted, each as (far end, near end)."""
    dual = request.param.startswith("::ffff")
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    host = "::" if dual else request.param
    with socket.create_server((host, 0), family=family, dualstack_ipv6=dual) as listening:
        port = listening.getsockname()[1]
        pairs = []
        for _ in range(2):
            far = socket.create_connection(("127.0.0.1" if dual else request.param, port), timeout=5)
            near, _ = listening.accept()
            near.setblocking(False)
            pairs.append((far, near))
    yield pairs
    for far, near in pairs:
        far.close()
        near.close()


def peer_of(far):
    host, port = far.getsockname()[:2]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


async def test_only_the_one_that_is_named_goes_dead_and_is_reset_later(lines, monkeypatch):
    monkeypatch.setattr(connections, "SILENT_S", 0.3)
    told, cut = [], asyncio.Event()
    cutter = Cutter(lambda count: (told.append(count), cut.set()))
    (bad, bad_near), (good, good_near) = lines
    cutter.cut(parse_peer(peer_of(bad)))
    cutter.cut(parse_peer(peer_of(bad)))
    await asyncio.wait_for(cut.wait(), 10)
    assert told == [1]
    bad.sendall(b"more")
    good.sendall(b"more")
    wait_until(lambda: can_read(good_near), "what the good one sent")
    with pytest.raises(BlockingIOError):
        bad_near.recv(10)
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().sock_recv(bad_near, 10) == b"", "gRPC finds it closed"
    bad_near.close()
    bad.setblocking(False)
    wait_until(lambda: is_reset(bad), "the reset")


def can_read(line):
    try:
        return line.recv(10) == b"more"
    except BlockingIOError:
        return False


def is_reset(line):
    try:
        return line.recv(10) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def test_nothing_is_done_to_what_is_gone_or_is_no_connection(lines):
    told = []
    cutter = Cutter(told.append)
    gone = peer_of(lines[0][0])
    for line in lines[0]:
        line.close()
    cutter.cut(parse_peer(gone))
    cutter._cut_all()
    assert told == []
    cutter.close()


async def test_looking_for_connections_takes_no_more_than_a_part_of_the_time(monkeypatch):
    cutter = Cutter(lambda _: None)
    seconds = itertools.count(step=0.5)
    monkeypatch.setattr(connections.time, "perf_counter", seconds.__next__)
    cutter._cut_all()
    assert cutter._gathered_s == 10
    cutter.close()


async def test_closing_lets_go_of_what_is_dead_at_once(lines):
    cutter = Cutter(lambda _: None)
    (bad, bad_near), _ = lines
    cutter.cut(parse_peer(peer_of(bad)))
    cutter._cut_all()
    cutter.close()
    assert bad_near.recv(10) == b""


def test_looking_at_a_descriptor_closes_nothing(tmp_path):
    with (tmp_path / "x").open("w") as file, closing(socket.socket()) as line:
        for opened in (file, line):
            assert connections._look_at(opened.fileno(), connections._other_end) is None
            assert connections._look_at(opened.fileno(), connections._other_end) is None
