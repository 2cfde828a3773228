"""Many power cuts: recordings, chained, and images of each at random moments."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.power_loss.image import cut_power
from tests.power_loss.recording import record
from tests.power_loss.subjects import BankSubject, GatewaySubject, OutboxSubject, Subject
from tests.power_loss.verdict import judge

SUBJECTS: tuple[type[Subject], ...] = (BankSubject, GatewaySubject, OutboxSubject)
_STEPS = 40
_IMAGES_OF_A_RECORDING = 50


class Loss(NamedTuple):
    """What a power cut has lost or broken, and the recording and operation that show it again."""

    subject: str
    recording: int
    operation: int
    what: str


def cut_many(folder: Path, images: int, *, seed: int = 0, synchronous: str = "FULL") -> Iterator[Loss | None]:
    """Make and judge so many images, of each subject as many; yield what each has lost, None if nothing."""
    for kind in SUBJECTS:
        yield from _cut_subject(kind, folder, images // len(SUBJECTS), seed, synchronous)


def _cut_subject(
    kind: type[Subject], folder: Path, images: int, seed: int, synchronous: str
) -> Iterator[Loss | None]:
    path = folder / f"{kind.__name__}.db"
    start: dict[str, bytes] = {}
    for number in range(-(-images // _IMAGES_OF_A_RECORDING)):
        random = Random(f"{seed} {kind.__name__} {number}")
        recording = record(kind, path, random, steps=_STEPS, start=start, synchronous=synchronous)
        for _ in range(min(_IMAGES_OF_A_RECORDING, images - number * _IMAGES_OF_A_RECORDING)):
            at = random.randrange(len(recording.operations) + 1)
            files = cut_power(recording, at, random)
            what = judge(kind, path, files, recording, at)
            yield Loss(kind.__name__, number, at, what) if what else None
            if not what:
                start = files
        # Small files are quick to look at: begin anew from time to time.
        if number % 4 == 3:
            start = {}
