"""One running cluster for each file of this folder."""

import pytest

from tests.running_nodes import RunningNodes
from tests.security.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    nodes = RunningNodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start()
        site = Site(nodes)
        yield site
        site.close()
    finally:
        nodes.stop()
