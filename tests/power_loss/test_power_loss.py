"""No power cut takes what was acknowledged; and if less were synced, this would have told."""

from collections import Counter
from random import Random

import pytest

from tests.power_loss.campaign import SUBJECTS, cut_many
from tests.power_loss.filesystem import FileSystem, Operation
from tests.power_loss.image import cut_power
from tests.power_loss.recording import Recording, record
from tests.power_loss.subjects import BankSubject, GatewaySubject, OutboxSubject

_IMAGES = 450


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    cuts = list(cut_many(tmp_path, _IMAGES))
    assert len(cuts) == _IMAGES
    assert [loss for loss in cuts if loss is not None] == []


@pytest.mark.parametrize(
    ("synchronous", "losers"),
    [
        ("OFF", {"BankSubject", "GatewaySubject", "OutboxSubject"}),
        # An outbox is closed after each operation, which syncs all the same.
        ("NORMAL", {"BankSubject", "GatewaySubject"}),
    ],
)
def test_whoever_syncs_less_is_found_to_lose_what_was_acknowledged(tmp_path, synchronous, losers):
    lost = Counter(loss.subject for loss in cut_many(tmp_path, 60, synchronous=synchronous) if loss is not None)
    assert set(lost) == losers


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_recording_has_all_that_a_database_goes_through(tmp_path, kind):
    """Checkpoints, logs that begin anew, and closed files that are opened again."""
    recording = record(kind, tmp_path / "a.db", Random(5), steps=80, start={}, synchronous="FULL")
    done = Counter((operation.kind, operation.file.rpartition("a.db")[2]) for operation in recording.operations)
    logs = [operation for operation in recording.operations if operation.file.endswith("-wal")]
    assert done["sync", "-wal"] >= 40
    assert done["sync", ""] >= 5, "checkpoints"
    assert sum(operation.kind == "write" and operation.offset == 0 for operation in logs) >= 5, "logs begin anew"
    assert done["delete", "-wal"] >= 1, "closed and opened again"
    assert len({mark.state for mark in recording.marks}) > 20


# -- what a power cut leaves ----------------------------------------------------


def leftovers(*operations: Operation, start: dict[str, bytes] | None = None) -> set[tuple[tuple[str, bytes], ...]]:
    """Return each state of the files that a power cut at the end may leave."""
    recording = Recording(start or {}, list(operations), [])
    images = (cut_power(recording, len(operations), Random(seed)) for seed in range(300))
    return {tuple(sorted(image.items())) for image in images}


def test_what_was_synced_stays_and_what_was_not_is_there_or_not():
    start = {"a": b"old"}
    assert leftovers(Operation("write", "a", 0, b"new"), start=start) == {(("a", b"old"),), (("a", b"new"),)}
    synced = Operation("write", "a", 0, b"new"), Operation("sync", "a")
    assert leftovers(*synced, start=start) == {(("a", b"new"),)}


def test_a_write_is_torn_at_its_sectors_and_only_there():
    old, new = b"a" * 1024, b"b" * 1024
    left = {dict(files)["f"] for files in leftovers(Operation("write", "f", 0, new), start={"f": old})}
    assert left == {first * 512 + second * 512 for first in (b"a", b"b") for second in (b"a", b"b")}


def test_later_writes_may_be_there_without_earlier_ones():
    writes = Operation("write", "f", 0, b"1" * 512), Operation("write", "f", 512, b"2" * 512)
    left = {dict(files)["f"] for files in leftovers(*writes, start={"f": b""})}
    assert bytes(512) + b"2" * 512 in left


def test_a_new_file_is_there_for_certain_once_it_was_synced():
    new = Operation("create", "a-wal"), Operation("write", "a-wal", 0, b"x")
    assert leftovers(*new) == {(), (("a-wal", b""),), (("a-wal", b"x"),)}
    assert leftovers(*new, Operation("sync", "a-wal")) == {(("a-wal", b"x"),)}


def test_a_deleted_file_may_come_back_until_its_folder_is_synced():
    start = {"a-journal": b"x"}
    assert leftovers(Operation("delete", "a-journal"), start=start) == {(), (("a-journal", b"x"),)}
    new_log = Operation("create", "a-wal"), Operation("sync", "a-wal")
    assert leftovers(Operation("delete", "a-journal"), *new_log, start=start) == {(("a-wal", b""),)}


def test_files_of_the_record_are_no_files_of_the_machine(tmp_path):
    for kind in (BankSubject, GatewaySubject):
        with FileSystem().mounted():
            kind(tmp_path / "a.db").close()
    with FileSystem().mounted():
        OutboxSubject(tmp_path / "b.db").step(Random(1))
    # Their names are there, made private before they are opened; nothing is in them.
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == {"a.db": 0, "b.db": 0}
