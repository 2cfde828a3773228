"""No state of the small cluster is wrong; and bugs are found, with the shortest way to them."""

import pytest

from tests.model.search import Search
from tests.model.space import two_payments
from tests.simulator.mutants import MUTANTS, applied

_STATES = 40_000
_BUGS = {mutant.name: mutant for mutant in MUTANTS}


def test_no_state_is_wrong_and_all_come_to_an_end():
    found = Search(two_payments(epochs_max=2)).run(_STATES)
    assert (found.wrong, found.trace) == ("", [])
    assert found.states >= _STATES
    assert found.depth >= 12
    assert found.played_out >= _STATES // 100


def test_one_payment_and_one_epoch_are_explored_to_the_end():
    cluster = two_payments(epochs_max=1)
    found = Search(cluster._replace(payments=cluster.payments[:1])).run(_STATES)
    assert found.is_complete
    assert found.wrong == ""


def test_a_bug_is_found_with_the_shortest_way_to_it():
    with applied(_BUGS["presumes commit"]):
        found = Search(two_payments(epochs_max=2)).run(_STATES)
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
        found = Search(two_payments(epochs_max=2)).run(20_000)
    assert found.wrong
    assert len(found.trace) >= found.depth > 0
