"""Some schedules one after the other: what a process takes on that shares the work with others.

Apart from the program, since a process that is spawned does not load its starter's ``__main__.py``.
"""

import gc
import signal
import time
from collections import Counter
from typing import NamedTuple

from tests.simulator.schedule import run_schedule


class Chunk(NamedTuple):
    """What some schedules came to; ``violations`` as (seed, what)."""

    schedules: int
    events: int
    digests: list[str]
    violations: list[tuple[int, str]]
    reached: Counter[str]
    cpu_s: float


def start_worker() -> None:
    """Make a process ready to run chunks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; whoever gathers the chunks ends it
    gc.freeze()


def run_chunk(what: tuple[int, int, bool]) -> Chunk:
    """Run the schedules of (first seed, seed after the last, whether to note which rows are met)."""
    start, end, is_covered = what
    began = time.process_time()
    results = [run_schedule(seed, is_covered=is_covered) for seed in range(start, end)]
    reached: Counter[str] = Counter()
    for result in results:
        reached.update(result.reached)
    violations = [(result.seed, result.violation) for result in results if result.violation]
    events = sum(result.events for result in results)
    digests = [result.digest for result in results]
    return Chunk(len(results), events, digests, violations, reached, time.process_time() - began)
