"""What the tests of running nodes share: unless a file starts its own, its tests share one set of them."""

import pytest

from tests.running_nodes import RunningNodes


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    nodes = RunningNodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
