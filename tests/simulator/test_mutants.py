"""Each deliberate bug is found by some schedule: the simulator would have told."""

import pytest

from tests.simulator.mutants import MUTANTS, SCHEDULES_MAX, Mutant, applied, catch
from tests.simulator.schedule import run_schedule

pytestmark = pytest.mark.timeout(600)  # most take a second; of one core, which others may want as well


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_deliberate_bug_is_caught(mutant):
    caught = catch(mutant)
    assert caught is not None, f"not within {SCHEDULES_MAX} schedules"
    assert not run_schedule(caught.seed).violation, "the bug is gone afterwards, and so is the violation"


def test_a_bug_that_does_not_fit_the_text_any_more_is_told():
    misfit = Mutant("is out of date", MUTANTS[0].owner, MUTANTS[0].function, "no such text", "")
    with pytest.raises(LookupError, match="does not fit"), applied(misfit):
        pass


def test_no_two_bugs_share_a_name():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
