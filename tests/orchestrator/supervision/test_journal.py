"""What happened is kept in memory, and in a file as far as there is room."""

import asyncio
from pathlib import Path

from orchestrator.supervision import journal as journal_module
from orchestrator.supervision.journal import Journal


def test_a_full_disk_loses_lines_and_harms_nobody() -> None:
    journal = Journal(Path("/dev/full"))
    journal.write("HDFC", "started", "process 7")
    assert [entry["event"] for entry in journal.recent(10)] == ["started"]
    journal.close()


async def test_a_follower_who_lags_too_far_loses_events_and_fills_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "_QUEUED_MAX", 3)
    kept = Journal(tmp_path / "supervisor.log")
    following = kept.follow()
    first = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    for number in range(100):
        kept.write("HDFC", "started", str(number))
    [queue] = kept._followers
    assert queue.qsize() <= 3
    assert (await first)["text"] == "0"
    await following.aclose()
    kept.close()
