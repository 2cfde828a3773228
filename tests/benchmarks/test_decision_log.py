"""The peer's decision log: durable before it returns, one sync for all that wait."""

import asyncio
import os

from benchmarks.decision_log import DecisionLog


async def test_those_that_come_together_share_a_sync(tmp_path):
    with DecisionLog(tmp_path / "log") as log:
        await asyncio.gather(*(log.record(str(number)) for number in range(50)))
        assert log.syncs == 1
        await log.record("51")
        assert log.syncs == 2
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"commit {number}" for number in [*range(50), 51]]


async def test_nobody_hears_before_it_is_synced(tmp_path, monkeypatch):
    heard = []

    def sync(_):
        assert not heard
        assert (tmp_path / "log").read_text() == "commit a\n"

    monkeypatch.setattr(os, "fdatasync", sync)
    with DecisionLog(tmp_path / "log") as log:
        await log.record("a")
        heard.append("a")
    assert log.syncs == 1
