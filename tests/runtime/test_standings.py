"""The books of the newest cuts are kept, and no more."""

from nodes.runtime.audit_service import _CUTS_KEPT, Standing, Standings


def test_the_books_of_the_newest_cuts_are_kept_and_older_ones_let_go():
    standings = Standings()
    kept = {cut: Standing([], [], []) for cut in range(1, _CUTS_KEPT + 2)}
    for cut, standing in kept.items():
        standings.keep(cut, standing)
    assert standings.find(1) is None
    assert all(standings.find(cut) is kept[cut] for cut in range(2, _CUTS_KEPT + 2))
    assert standings.find(99) is None


def test_a_gateway_that_counts_from_the_beginning_again_is_given_its_own_books():
    standings = Standings()
    for _ in range(2):
        for cut in range(1, _CUTS_KEPT + 1):
            newest = Standing([], [], [])
            standings.keep(cut, newest)
            assert standings.find(cut) is newest
    standings.keep(9, Standing([], [], []))
    assert standings.find(1) is None
    assert standings.find(2) is not None
