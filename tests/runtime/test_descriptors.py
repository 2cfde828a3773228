"""A node keeps descriptors for itself, whatever the limit of the machine is."""

import resource

import pytest

from nodes.runtime.descriptors import count_connection_places


@pytest.mark.parametrize(
    ("limits", "places", "raised_to"),
    [
        ((1024, 1_000_000), 4096, 4224),
        ((1024, resource.RLIM_INFINITY), 4096, 4224),
        ((20_000, 20_000), 4096, None),
        ((1024, 2048), 1920, 2048),
        ((64, 64), 1, 64),
    ],
)
def test_places_are_what_the_limit_leaves(monkeypatch, limits, places, raised_to):
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: raised.append(new[0]))
    assert count_connection_places() == places
    assert raised == ([raised_to] if raised_to else [])
