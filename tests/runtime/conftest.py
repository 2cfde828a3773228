"""What the tests of this folder share."""

import pytest

from tests.runtime.served import Served


@pytest.fixture
async def served(tmp_path):
    served = Served(tmp_path)
    await served.server.start()
    yield served
    await served.server.stop(0)
