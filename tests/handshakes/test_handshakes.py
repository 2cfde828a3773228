"""A short storm; `make handshakes` runs a long one."""

import pytest

from tests.handshakes.storm import run_storm

HANDSHAKES = 1500


@pytest.mark.cluster
def test_replacing_a_certificate_again_and_again_fails_no_handshake_and_crashes_nothing(tmp_path):
    storm = run_storm(tmp_path, handshakes=HANDSHAKES, replaced_every_s=0.05)
    assert storm.exit_code is None
    assert not storm.failures
    assert storm.handshakes >= HANDSHAKES
    assert storm.replacements > 5
    assert len(storm.served) > 5
