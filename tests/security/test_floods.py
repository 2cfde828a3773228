"""A26 and A25: one client floods the gateway; another pays on, and the gateway stays as small as it was."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import psutil
import pytest
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles
from tests.running_nodes import Caller, wait_until
from tests.security.floods import FLOODS, Target
from tests.security.raw_http2 import DATA, END_HEADERS, HEADERS, SETTINGS, RawConnection, call_headers, frame
from tests.security.site import CODE, Site

pytestmark = pytest.mark.cluster
GROWTH_MAX = 120 * 1024 * 1024
PAYMENTS_AT_LEAST = 5


def target_of(site: Site, flooder: str) -> Target:
    """Return the gateway as the target of a flooder with a certificate of its own."""
    host, port = site.host_and_port("gateway")
    files = site.leaf(PeerKind.CLIENT, flooder)
    names = map(str, (files.ca, files.certificate, files.key))
    return Target(host, port, site.peer("gateway").tls_name, *names)


@contextmanager
def paying(site: Site) -> Iterator[None]:
    """Have a well-behaved client pay all the while; each payment must commit, and some must be made."""
    ends, paid, failures = threading.Event(), [], []

    def pay_on(caller: Caller) -> None:
        try:
            while not ends.is_set() or len(paid) < PAYMENTS_AT_LEAST:
                paid.append(caller.pay("bob@HDFC", 1, timeout=10).outcome)
        except Exception as error:
            failures.append(error)

    with site.nodes.client("alice") as caller:
        thread = threading.Thread(target=pay_on, args=[caller])
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join(60)
    assert not failures
    assert set(paid) == {payment_pb2.OUTCOME_COMMITTED}


def size_of(site: Site) -> int:
    size: int = psutil.Process(site.nodes.processes["gateway"].pid).memory_info().rss
    return size


def ask_unread(site: Site, files: TlsFiles, user: str, count: int) -> RawConnection:
    """Ask for so many pages of history on a connection that takes no byte of what is answered."""
    request = payment_pb2.ListPaymentsRequest(page_size=500).SerializeToString()
    headers = call_headers("PaymentService/ListPayments", *site.as_user(user, files))
    host, port = site.host_and_port("gateway")
    plain = socket.create_connection((host, port), timeout=10)
    line = site.tls_context(files).wrap_socket(plain, server_hostname=site.peer("gateway").tls_name)
    connection = RawConnection(line)
    connection.send(frame(SETTINGS, struct.pack(">HI", 4, 0)))
    for stream in range(1, 2 * count, 2):
        connection.send(frame(HEADERS, headers, flags=END_HEADERS, stream=stream))
        connection.send(frame(DATA, bytes(1) + struct.pack(">I", len(request)) + request, flags=1, stream=stream))
    return connection


def test_who_asks_for_pages_and_reads_none_is_refused_more_and_others_get_theirs(site):
    hoarder, other = site.leaf(PeerKind.CLIENT, "hoarder"), site.leaf(PeerKind.CLIENT, "reader")
    as_hoarder, as_other = site.as_user("alice", hoarder), site.as_user("bob", other)

    def list_payments(files: TlsFiles, metadata: Any) -> grpc.StatusCode:
        return site.call("PaymentService/ListPayments", files=files, metadata=metadata).code

    with closing(ask_unread(site, hoarder, "alice", 95)) as connection:
        wait_until(lambda: list_payments(hoarder, as_hoarder) is CODE.RESOURCE_EXHAUSTED, "a refusal")
        assert connection.attend()
        assert list_payments(other, as_other) is CODE.OK
    wait_until(lambda: list_payments(hoarder, as_hoarder) is CODE.OK, "room")


def test_sixty_four_pages_that_one_program_asks_for_at_once_are_all_given(site):
    metadata = site.as_user("alice", site.leaf(PeerKind.CLIENT, "busy"))
    with target_of(site, "busy").channel() as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = payment_pb2.ListPaymentsRequest(page_size=500)
        calls = [stub.ListPayments.future(request, timeout=60, metadata=metadata) for _ in range(64)]
        assert {call.code() for call in calls} == {CODE.OK}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_stops_nobody_else(site, name):
    flood, count, must_be_sent_away = FLOODS[name]
    before = size_of(site)
    with paying(site):
        is_sent_away = flood(target_of(site, f"flooder-{list(FLOODS).index(name)}"), count)
        with site.nodes.client("charlie") as late:  # who comes only now gets in as well
            late.balance("SBI")
    assert is_sent_away or not must_be_sent_away
    assert size_of(site) - before < GROWTH_MAX
    assert site.nodes.processes["gateway"].poll() is None


def test_who_is_cut_off_stands_in_the_audit_log_and_gets_in_nowhere_else_meanwhile(site):
    flood, count, _ = FLOODS["rapid reset"]
    assert flood(target_of(site, "resetter"), count)
    audited = (site.nodes.folder / "audit.log").read_text().splitlines()
    [line] = [line for line in map(json.loads, audited) if line["certificate"].endswith("/client/resetter")]
    assert (line["did"], line["code"]) == ("denied", "RESOURCE_EXHAUSTED")
    again = site.call("PaymentService/Login", files=site.leaf(PeerKind.CLIENT, "resetter"))
    assert again.code is CODE.RESOURCE_EXHAUSTED
    assert "cut off" in again.details


def test_no_payment_came_of_any_flood_and_the_books_add_up(site):
    for bank in site.books()[0].banks:
        assert not bank.faults
        assert bank.in_doubt == 0


def test_streams_beyond_ones_share_are_refused_and_others_get_theirs(site):
    metadata: Any = site.as_user("alice")
    method = site.channel("gateway", site.shell).stream_stream("/interbank.v1.PaymentService/PayMany")
    ends = threading.Event()

    def hold() -> Iterator[bytes]:
        ends.wait(30)
        return
        yield b""

    held = [method(hold(), timeout=60, metadata=metadata) for _ in range(140)]
    shed_by = time.monotonic() + 20
    while not any(call.code() is CODE.RESOURCE_EXHAUSTED for call in held if call.done()):
        assert time.monotonic() < shed_by, "no stream was shed"
    other = site.leaf(PeerKind.CLIENT, "other")
    own = site.stream("PaymentService/PayMany", [], files=other, metadata=site.as_user("bob", other))
    assert own.code is CODE.OK
    ends.set()
    codes = {call.code() for call in held}
    assert codes == {CODE.OK, CODE.RESOURCE_EXHAUSTED}
