"""Judge an image: it opens, it is whole, and it holds each step that was acknowledged."""

from pathlib import Path

from tests.power_loss.filesystem import FileSystem
from tests.power_loss.recording import Recording, fingerprint
from tests.power_loss.subjects import Subject


def judge(kind: type[Subject], path: Path, files: dict[str, bytes], recording: Recording, at: int) -> str:
    """Say what a power cut behind the operation ``at`` has lost or broken; empty if nothing."""
    acknowledged = max(number for number, mark in enumerate(recording.marks) if mark.operation <= at)
    # The step under way may have become durable before it could be acknowledged.
    states = [mark.state for mark in recording.marks]
    with FileSystem(files).mounted():
        try:
            subject = kind(path)
        except Exception as error:
            return f"does not open: {error}"
        try:
            return _look(subject, states, acknowledged)
        except Exception as error:
            return f"cannot be read: {error}"
        finally:
            subject.close()


def _look(subject: Subject, states: list[str], acknowledged: int) -> str:
    faults = [*subject.check_integrity(), *subject.find_faults()]
    if faults:
        return f"is damaged: {faults[0]}"
    found = fingerprint(subject.rows())
    if found in states[acknowledged : acknowledged + 2]:
        return ""
    if found in states:
        return f"holds step {states.index(found)}, but step {acknowledged} was acknowledged"
    return f"holds half a step after step {acknowledged}"
