"""What happened is kept in memory, and in a file as far as there is room."""

from pathlib import Path

from orchestrator.supervision.journal import Journal


def test_a_full_disk_loses_lines_and_harms_nobody() -> None:
    journal = Journal(Path("/dev/full"))
    journal.write("HDFC", "started", "process 7")
    assert [entry["event"] for entry in journal.recent(10)] == ["started"]
    journal.close()
