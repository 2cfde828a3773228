"""The audit log: a line for each thing done, whole and kept, and denials within bounds."""

import pytest

from nodes.core.names import Identity, PeerKind
from nodes.runtime import audit_log
from nodes.runtime.access import Caller
from nodes.runtime.audit_log import AuditLog
from tests.audit_lines import DENIAL, Clock, read_lines

BANK = Caller(Identity("payments.test", PeerKind.BANK, "HDFC"), "thumbprint-2", None)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def audit(tmp_path, clock):
    audit = AuditLog(tmp_path / "audit.log", clock=clock)
    yield audit
    audit.close()


async def test_what_strangers_wrote_stays_one_line_and_short(audit, tmp_path):
    audit.note(BANK, "register", address='x"}\n{"did":"forged' + "y" * 1000)
    audit.deny(DENIAL._replace(details='"}\n{"did":"forged"}', about={"user": "a\nb"}))
    audit.flush()
    registered, denied = read_lines(tmp_path)
    assert registered["did"] == "register"
    assert "user" not in registered
    assert len(registered["address"]) < 300
    assert (denied["did"], denied["user"]) == ("denied", "a\nb")


async def test_denials_beyond_a_bound_are_counted(audit, tmp_path, clock):
    for _ in range(5000):
        audit.deny(DENIAL)
    clock.now_s += 1
    audit.deny(DENIAL)
    audit.flush()
    found = read_lines(tmp_path)
    assert len(found) == 1001
    assert found[-1]["left_out_before"] == 4000


async def test_a_full_file_is_set_aside_and_none_is_ever_deleted(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(audit_log, "_FILE_BYTES_MAX", 1000)
    audit = AuditLog(tmp_path / "audit.log", clock=clock)
    for _ in range(50):
        audit.note(BANK, "register", address="localhost:1")
    audit.close()
    files = list(tmp_path.iterdir())
    assert len(files) > 5
    assert sum(len(file.read_text().splitlines()) for file in files) == 50
