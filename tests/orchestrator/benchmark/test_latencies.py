"""Latencies: right to one percent however many, and the same whether counted at once or added up."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.benchmark.latencies import Latencies


def counted(*seconds):
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    return latencies


def test_percentiles_are_right_to_one_percent():
    lot = random.Random(1)
    seconds = sorted(lot.lognormvariate(-6, 1.5) for _ in range(10_001))
    latencies = counted(*seconds)
    for percent in (1, 50, 95, 99, 99.9):
        exact_ms = seconds[-(-len(seconds) * percent // 100).__int__() - 1] * 1000
        assert exact_ms <= latencies.percentile_ms(percent) <= exact_ms * 1.0101


@pytest.mark.parametrize(
    ("seconds", "percent", "expected_ms"),
    [
        ((), 50, 0.0),
        ((0.002,), 50, 2.0),
        ((0.002,), 99, 2.0),
        ((0.001, 0.003), 50, 1.0),
        ((0.001, 0.003), 51, 3.0),
        ((0.001, 0.002, 0.003, 0.004), 100, 4.0),
        ((0.0,), 50, 0.0),
    ],
)
def test_a_percentile_is_what_that_share_did_not_exceed(seconds, percent, expected_ms):
    assert counted(*seconds).percentile_ms(percent) == pytest.approx(expected_ms, rel=0.0101)


def test_the_maximum_is_exact_and_no_percentile_passes_it():
    latencies = counted(0.0123456, 0.001)
    assert latencies.max_ms == 12.3456
    assert latencies.percentile_ms(100) == 12.3456


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 100)))
def test_those_of_two_processes_add_up_to_those_of_one(some, others):
    both = counted(*some)
    both.merge(counted(*others))
    assert both.to_json() == counted(*some, *others).to_json()
    assert len(both) == len(some) + len(others)


def test_a_batch_counts_as_often_as_it_has_payments():
    latencies = Latencies()
    latencies.add(0.010, 99)
    latencies.add(0.500)
    assert len(latencies) == 100
    assert latencies.percentile_ms(99) == pytest.approx(10, rel=0.0101)
    assert latencies.percentile_ms(99.5) == 500


def test_the_curve_rises_to_one():
    curve = counted(0.001, 0.002, 0.004, 0.004).curve()
    assert [share for _, share in curve] == [0.25, 0.5, 1.0]
    assert [ms for ms, _ in curve] == [pytest.approx(ms, rel=0.0101) for ms in (1, 2, 4)]


def test_what_travels_as_json_comes_back():
    latencies = counted(0.001, 0.002, 0.5)
    read = Latencies.from_json(json.loads(json.dumps(latencies.to_json())))
    assert read.to_json() == latencies.to_json()
    assert read.percentile_ms(50) == latencies.percentile_ms(50)
