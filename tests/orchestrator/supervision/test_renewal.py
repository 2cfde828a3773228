"""The supervisor has certificates renewed, and tells what came of it."""

import asyncio
import sys

import pytest

from orchestrator.supervision.renewal import Renewer


async def told_by(command, count):
    """Return the first lines that a renewer reports."""
    told = []
    enough = asyncio.Event()

    def report(*event):
        told.append(event)
        if len(told) == count:
            enough.set()

    running = asyncio.create_task(Renewer(command, report, every_s=0.01).run())
    async with asyncio.timeout(20):
        await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return told[:count]


def python(text):
    return [sys.executable, "-c", text]


async def test_what_is_renewed_is_told_again_and_again():
    told = await told_by(python("print('HDFC: renewed')"), 2)
    assert told == [("", "renewal", "HDFC: renewed")] * 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (python("import sys; sys.exit('error: no authority')"), "error: no authority"),
        (["/nowhere/cluster"], "certificates cannot be renewed: [Errno 2]"),
    ],
)
async def test_why_it_could_not_be_is_told_and_it_is_tried_again(command, said):
    assert all(line.startswith(said) for _, _, line in await told_by(command, 2))


async def test_without_a_command_there_is_nothing_to_do():
    await Renewer((), lambda *_: None).run()
