"""Run schedules: ``python -m tests.simulator --schedules 10000``; replay one: ``--seed 42 --log``."""

import argparse
import gc
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.simulator.chunks import Chunk, run_chunk, start_worker
from tests.simulator.coverage import ROWS
from tests.simulator.schedule import run_schedule

_CHUNK = 250


def main() -> int:
    """Run what the flags say; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1, help="how many, from --seed upwards")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--log", action="store_true", help="print every event of the first schedule")
    parser.add_argument("--rows", action="store_true", help="print how often each row of the state tables was met")
    parser.add_argument("--digests", action="store_true", help="print the hash of each schedule's events")
    flags = parser.parse_args()
    if flags.log:
        log: list[str] = []
        run_schedule(flags.seed, log)
        print("\n".join(log))
    interrupt = _Interrupt()
    began = time.monotonic()
    total = Chunk(0, 0, [], [], Counter(), 0.0)
    for chunk in _run_all(flags):
        total = Chunk(*(one + other for one, other in zip(total, chunk, strict=True)))
        for seed, violation in chunk.violations:
            print(f"VIOLATION in schedule {seed}: {violation}")
            print(f"replay: python -m tests.simulator --seed {seed} --log", flush=True)
        if chunk.violations:
            return 1
        if flags.digests:
            print("\n".join(chunk.digests), flush=True)
        if interrupt.has_come:
            break
    if flags.rows:
        print("\n".join(f"{total.reached[row]:12,}  {row}" for row in ROWS))
    pace = total.schedules / total.cpu_s * 60
    done = f"{total.schedules:,} schedules, {total.events:,} events, 0 violations"
    print(f"{done} in {time.monotonic() - began:.1f} s; {pace:,.0f} schedules a minute of one core")
    if interrupt.has_come:
        print(f"interrupted; go on from --seed {flags.seed + total.schedules}")
        return 130
    return 0


class _Interrupt:
    """The first Ctrl-C lets a chunk end, since hours may have gone into the run; the second ends it at once."""

    def __init__(self) -> None:
        self.has_come = False
        signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, _: object) -> None:
        self.has_come = True
        signal.signal(number, signal.SIG_DFL)


def _run_all(flags: argparse.Namespace) -> Iterator[Chunk]:
    end = flags.seed + flags.schedules
    chunks = [(start, min(start + _CHUNK, end), flags.rows) for start in range(flags.seed, end, _CHUNK)]
    if flags.jobs == 1:
        gc.freeze()
        yield from map(run_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(flags.jobs, start_worker) as pool:
        yield from pool.imap(run_chunk, chunks)


if __name__ == "__main__":
    sys.exit(main())
