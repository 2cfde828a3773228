"""Run schedules: ``python -m tests.simulator --schedules 10000``; replay one: ``--seed 42 --log``."""

import argparse
import sys
import time

from tests.simulator.schedule import run_schedule


def main() -> int:
    """Run what the flags say; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1, help="how many, from --seed upwards")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", action="store_true", help="print every event")
    flags = parser.parse_args()
    began = time.monotonic()
    events = 0
    for seed in range(flags.seed, flags.seed + flags.schedules):
        log: list[str] | None = [] if flags.log else None
        result = run_schedule(seed, log=log)
        events += result.events
        for line in log or []:
            print(line)
        if result.violation:
            print(f"VIOLATION in schedule {seed}: {result.violation}")
            print(f"replay: python -m tests.simulator --seed {seed} --log")
            return 1
    taken_s = time.monotonic() - began
    print(
        f"{flags.schedules} schedules, {events} events, 0 violations"
        f" in {taken_s:.1f} s ({flags.schedules / taken_s * 60:,.0f} schedules a minute)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
