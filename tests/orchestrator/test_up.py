"""When `up` has waited long enough."""

import pytest

from orchestrator.commands.up import _is_settled


def nodes(**states: str) -> list[dict[str, object]]:
    """Describe nodes: READY is a running one that serves."""
    return [
        {
            "name": name,
            "role": "gateway" if name == "gateway" else "bank",
            "state": "RUNNING" if state == "READY" else state,
            "is_ready": state == "READY",
        }
        for name, state in states.items()
    ]


@pytest.mark.parametrize(
    ("states", "is_settled"),
    [
        ({"gateway": "READY", "HDFC": "READY"}, True),
        ({"gateway": "READY", "HDFC": "STARTING"}, False),
        ({"gateway": "READY", "HDFC": "RUNNING"}, False),
        ({"gateway": "READY", "HDFC": "BACKOFF"}, False),
        ({"gateway": "READY", "HDFC": "FATAL"}, True),
        ({"gateway": "FATAL", "HDFC": "RUNNING"}, True),
        ({"gateway": "FATAL", "HDFC": "STARTING"}, False),
        ({"gateway": "BACKOFF", "HDFC": "RUNNING"}, False),
    ],
)
def test_up_waits_for_whatever_may_still_come_and_for_nothing_else(
    states: dict[str, str], is_settled: bool
) -> None:
    assert _is_settled(nodes(**states)) is is_settled
