import pytest

from tests.running_cluster import RunningCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = RunningCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.run("up")
        yield cluster
    finally:
        cluster.run("down", expect=None)
