"""What is spooled comes back as it was, as often as it is asked for."""

import pytest
from interbank.v1 import audit_pb2 as pb

from nodes.client import spool
from nodes.client.spool import Spool

PAGES = [pb.ReadLinksResponse(heard=[pb.HeardHead(link=number, node="x" * number)]) for number in range(1, 200)]


@pytest.mark.parametrize("memory", [1, 1_000_000])
def test_pages_come_back_in_order_however_many_read_them_in_memory_or_not(monkeypatch, memory):
    monkeypatch.setattr(spool, "_MEMORY_BYTES_MAX", memory)
    with Spool(pb.ReadLinksResponse, iter(PAGES)) as kept:
        assert list(zip(kept.pages(), kept.pages(), strict=True)) == [(page, page) for page in PAGES]


def test_a_page_that_holds_nothing_ends_nothing():
    pages = [pb.ReadLinksResponse(), PAGES[5], pb.ReadLinksResponse(), PAGES[6], pb.ReadLinksResponse()]
    with Spool(pb.ReadLinksResponse, pages) as kept:
        assert list(kept.pages()) == pages


def test_what_cannot_be_read_is_raised_and_nothing_is_kept_open():
    def pages():
        yield PAGES[0]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        Spool(pb.ReadLinksResponse, pages())


def test_no_pages_are_no_pages():
    with Spool(pb.ReadLinksResponse, ()) as kept:
        assert list(kept.pages()) == []
