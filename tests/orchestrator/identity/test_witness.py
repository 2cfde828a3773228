"""When a node is believed to use its new certificate, by what it shows and what its status says."""

from types import SimpleNamespace

import pytest

from orchestrator.identity import witness
from orchestrator.identity.rotation import CannotRotate
from orchestrator.identity.witness import RunningNodes

GATEWAY = SimpleNamespace(name="gateway", identity=SimpleNamespace(tls_name="gateway.payments.local"))
NEW = "new serial"


def wait(monkeypatch, *, shown, pid=7, **certificate):
    node = {"name": "gateway", "pid": pid, "address": "localhost:1", "certificate": certificate}
    monkeypatch.setattr(witness, "ask", lambda *_: {"nodes": [node]})
    monkeypatch.setattr(witness, "find_shown_serial", lambda *_: shown)
    folder = SimpleNamespace(control_socket=None)
    RunningNodes(folder, within_s=0.0).wait_shown(GATEWAY, NEW)


@pytest.mark.parametrize(
    "used",
    [
        {"shown": NEW, "serial": NEW},
        {"shown": NEW, "serial": NEW, "has_older_lines": False},
        {"shown": "old", "serial": "old", "pid": None},
    ],
)
def test_it_is_believed_once_nothing_old_is_in_use_and_not_waited_for_if_it_does_not_run(monkeypatch, used):
    wait(monkeypatch, **used)


@pytest.mark.parametrize(
    "used",
    [
        {"shown": "old", "serial": NEW},
        {"shown": NEW, "serial": "old"},
        {"shown": NEW},
        {"shown": NEW, "serial": NEW, "has_older_lines": True},
    ],
)
def test_it_is_waited_for_while_anything_old_is_in_use(monkeypatch, used):
    with pytest.raises(CannotRotate, match="gateway does not use its new certificate after 0 s"):
        wait(monkeypatch, **used)
