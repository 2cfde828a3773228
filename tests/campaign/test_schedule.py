"""A schedule is data: the same for the same seed, written and read back, and refused when it makes no sense."""

import json
from dataclasses import replace

import pytest

from orchestrator.campaign.schedule import KINDS, LINK_KINDS, NODE_KINDS, ScheduleUnusable, Step, draw, read, write

BANKS = ("HDFC", "ICICI", "SBI")


def test_the_same_seed_draws_the_same_and_another_draws_another():
    assert draw(7, 60, BANKS) == draw(7, 60, BANKS)
    assert len({draw(seed, 60, BANKS).steps for seed in range(50)}) == 50


@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_come_before_any_comes_again_and_all_is_over_in_time(seed):
    schedule = draw(seed, 60, BANKS, every_s=2)
    kinds = [step.kind for step in schedule.steps]
    assert sorted(kinds[: len(KINDS)]) == sorted(KINDS)
    assert all(0 < step.at_s <= step.at_s + step.lasts_s <= 60.01 for step in schedule.steps)
    assert all(bool(step.target) == (step.kind in (*NODE_KINDS, *LINK_KINDS)) for step in schedule.steps)


def test_only_the_kinds_that_are_asked_for_come():
    assert {step.kind for step in draw(1, 60, BANKS, kinds=("kill", "cut")).steps} == {"kill", "cut"}


def test_a_schedule_that_was_written_is_read_back():
    schedule = draw(3, 30, BANKS)
    assert read(write(schedule)) == schedule
    assert read(write(replace(schedule, is_patient=True))).is_patient


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"kind": "burn"}, "there is no kind 'burn'"),
        ({"kind": "kill", "target": "AXIS"}, "there is no node 'AXIS'"),
        ({"kind": "kill", "target": ""}, "there is no node ''"),
        ({"kind": "cut", "target": "HDFC->SBI"}, "there is no link 'HDFC->SBI'"),
        ({"kind": "cut", "target": "HDFC"}, "there is no link 'HDFC'"),
        ({"kind": "kill", "target": "HDFC", "at_s": -1}, "must not be below 0"),
        ({"kind": "kill", "target": "HDFC", "colour": "red"}, "this is no schedule"),
    ],
)
def test_a_step_that_cannot_be_done_is_said(step, said):
    document = {"seed": 1, "for_s": 10, "banks": BANKS, "steps": [{"at_s": 1.0, **step}]}
    with pytest.raises(ScheduleUnusable, match=said):
        read(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"seed": "x"}'])
def test_what_is_no_schedule_is_said(text):
    with pytest.raises(ScheduleUnusable, match="this is no schedule"):
        read(text)


def test_a_step_reads_as_a_sentence():
    assert str(Step(1.0, "cut", "HDFC->gateway", 2.5)) == "cut HDFC->gateway for 2.5 s"
    assert str(Step(1.0, "kill-all")) == "kill-all"
