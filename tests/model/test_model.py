"""No state of the small cluster is wrong; and bugs are found, with the shortest way to them."""

import pytest

from tests.model.nodes import BankState, GatewayState
from tests.model.search import Search
from tests.model.space import Bounds, small_cluster
from tests.simulator.mutants import MUTANTS, applied

_STATES = 40_000
_BUGS = {mutant.name: mutant for mutant in MUTANTS}


def test_no_state_is_wrong_and_all_come_to_an_end():
    found = Search(small_cluster(2, Bounds(epochs=2))).run(_STATES)
    assert (found.wrong, found.trace) == ("", [])
    assert found.states >= _STATES
    assert found.depth >= 12
    assert found.played_out >= _STATES // 100


@pytest.mark.parametrize(
    ("payments", "bounds", "states"),
    [(1, Bounds(epochs=1), 2893), (1, Bounds(epochs=2, streams=2, inquiries=0), 64_410)],
)
def test_a_bounded_space_is_explored_to_its_end(payments, bounds, states):
    """The number is told so that a change of the rules, or of the search, that leaves states out is seen."""
    found = Search(small_cluster(payments, bounds)).run(100_000)
    assert (found.wrong, found.is_complete, found.states) == ("", True, states)


def test_a_search_that_was_stopped_does_not_say_that_it_is_complete():
    found = Search(small_cluster(2, Bounds(epochs=2))).run(1000)
    assert (found.wrong, found.is_complete) == ("", False)


def test_what_is_bounded_happens_no_more_often():
    search = Search(small_cluster(1, Bounds(epochs=1, streams=1, inquiries=1)))
    search.run(100_000)
    assert max(state.done for state in search.space.states if isinstance(state, BankState)) == (1, 1)
    assert max(state.epoch for state in search.space.states if isinstance(state, GatewayState)) == 1


def test_a_bug_is_found_with_the_shortest_way_to_it():
    with applied(_BUGS["presumes commit"]):
        found = Search(small_cluster(2, Bounds(epochs=2))).run(_STATES)
    assert found.wrong == "I2 HDFC has posted what was not decided"
    assert "\n".join(found.trace) == (
        "HDFC       opens a stream\n"
        "gateway    hears HDFC: in doubt here: nothing\n"
        "ICICI      opens a stream\n"
        "gateway    hears ICICI: in doubt here: nothing\n"
        "gateway    is asked by a client for payment 1\n"
        "gateway    dies and starts again\n"
        "HDFC       hears gateway: prepare payment 1 of epoch 1\n"
        "HDFC       opens a stream\n"
        "gateway    hears HDFC: in doubt here: payment 1 of epoch 1\n"
        "HDFC       hears gateway: commit payment 1 of epoch 1"
    )


@pytest.mark.parametrize(
    "name",
    [
        "decides twice",
        "commits on the first yes",
        "takes a no for a yes",
        "commits when the deadline comes",
        "speaks before it has written",
        "forgets what it decided",
        "aborts what is under way when asked",
        "hears a bank connect and says nothing",
        "votes before the hold is on disk",
        "votes yes after an abort",
        "lets an older epoch take over a hold",
        "keeps the old epoch's hold beside the new",
        "does not count what is held",
        "lets an older abort release a newer hold",
        "debits and does not credit",
    ],
)
def test_other_bugs_are_found_as_well(name):
    with applied(_BUGS[name]):
        found = Search(small_cluster(2, Bounds(epochs=2))).run(20_000)
    assert found.wrong
    assert len(found.trace) >= found.depth > 0
