"""Files are read again when they have changed, once; what cannot be used is told and changes nothing."""

from dataclasses import dataclass, field

import pytest

from nodes.runtime.file_watch import FileWatch


class Unusable(Exception):
    pass


@dataclass
class Reader:
    path: object
    read: list[str] = field(default_factory=list)

    def reread(self):
        text = self.path.read_text()
        if text == "bad":
            raise Unusable(f"{self.path.name} is bad")
        self.read.append(text)


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "file").write_text("one")
    return Reader(tmp_path / "file")


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(reader, told):
    watch = FileWatch(told.append)
    watch.add(reader.reread, Unusable, reader.path)
    return watch


def test_the_first_look_reads_since_the_file_may_have_changed_before_it(watch, reader):
    watch.look()
    watch.look()
    assert reader.read == ["one"]


def test_each_change_is_read_once(watch, reader):
    watch.look()
    reader.path.write_text("two, longer")
    watch.look()
    watch.look()
    assert reader.read == ["one", "two, longer"]


def test_a_file_put_in_place_of_another_is_seen_though_it_looks_as_old_and_as_long(watch, reader, tmp_path):
    watch.look()
    other = tmp_path / "other"
    other.write_text("two")
    other.replace(reader.path)
    watch.look()
    assert reader.read == ["one", "two"]


def test_what_cannot_be_used_is_told_once_and_is_a_fault_until_it_is_mended(watch, reader, told):
    watch.look()
    reader.path.write_text("bad")
    watch.look()
    watch.look()
    assert told == watch.faults == ["file is bad"]
    reader.path.write_text("good again")
    watch.look()
    assert watch.faults == []
    assert reader.read == ["one", "good again"]


def test_a_change_while_it_is_read_is_seen_by_the_next_look(watch, reader):
    original = reader.reread

    def reread():
        original()
        if len(reader.read) == 1:
            reader.path.write_text("changed meanwhile")

    watch = FileWatch(lambda _: None)
    watch.add(reread, Unusable, reader.path)
    watch.look()
    watch.look()
    assert reader.read == ["one", "changed meanwhile"]


def test_an_error_that_nobody_foresaw_is_not_swallowed(tmp_path):
    watch = FileWatch(lambda _: None)
    watch.add(lambda: 1 / 0, Unusable, tmp_path / "missing")
    with pytest.raises(ZeroDivisionError):
        watch.look()
