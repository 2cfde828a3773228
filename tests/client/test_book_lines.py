"""What an auditor reads of running nodes is all that stood at the cut, and nothing that came after it."""

from types import SimpleNamespace

from interbank.v1 import audit_pb2 as pb
from interbank.v1 import bank_pb2

from nodes.client import book_lines
from nodes.client.client import AuditLine
from nodes.client.spool import Spool


def test_every_page_of_what_stood_at_a_cut_is_read():
    pages = {
        0: pb.ReadStandingResponse(accounts=[pb.AccountRecord(name="alice")], next_start=4000),
        4000: pb.ReadStandingResponse(accounts=[pb.AccountRecord(name="bob")], next_start=8000),
        8000: pb.ReadStandingResponse(accounts=[pb.AccountRecord(name="carol")]),
    }
    line = AuditLine.__new__(AuditLine)
    line._tls = None
    line._audit_stub = SimpleNamespace(ReadStanding=lambda request, **_: pages[request.start])
    names = [account.name for page in line.standing(7) for account in page.accounts]
    assert names == ["alice", "bob", "carol"]


def test_what_an_operator_settled_after_the_cut_is_no_part_of_it():
    def settled(link):
        key = bank_pb2.TransactionKey(payment_id=bytes(16), payer="alice", epoch=1)
        return pb.ResolutionRecord(key=key, who="eve", why="lost", at_us=1, link=link)

    standing = [pb.ReadStandingResponse(resolutions=[settled(4), settled(5), settled(6)])]
    with Spool(pb.ReadRecordsResponse, ()) as records, Spool(pb.ReadLinksResponse, ()) as links:
        books = book_lines._open_gateway(1, 5, book_lines._Read(standing, records, links))
        assert [link for link, _ in books.chain.acts] == [4, 5]
        assert len(books.resolutions) == 2


def test_links_behind_numbers_that_a_recovery_gave_up_are_read():
    """The pages of the numbers between hold nothing."""
    head = bank_pb2.ChainHead(number=9001, last_sequence=0, hash=bytes(32))
    pages = [pb.ReadLinksResponse(), pb.ReadLinksResponse(), pb.ReadLinksResponse(links=[head])]
    with Spool(pb.ReadRecordsResponse, ()) as records, Spool(pb.ReadLinksResponse, pages) as links:
        chain = book_lines._Read([], records, links).chain()
        assert [link.number for link in chain.links()] == [9001]
