"""Explore the small case to its end; 1 if a state is wrong, 2 if not all were looked at."""

import argparse
import gc
import sys
import time

from tests.model.search import Search
from tests.model.space import Bounds, small_cluster


def main() -> int:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000_000, help="look at no more than these")
    parser.add_argument("--payments", type=int, default=1, choices=(1, 2), help="how many payments are wanted")
    parser.add_argument("--epochs", type=int, default=2, help="how often the gateway starts at most")
    parser.add_argument("--streams", type=int, help="how many streams each bank opens at most; without: no bound")
    parser.add_argument("--inquiries", type=int, help="how often each bank asks at most; without: no bound")
    flags = parser.parse_args()
    bounds = Bounds(flags.epochs, flags.streams, flags.inquiries)
    began = time.monotonic()
    gc.disable()
    search = Search(small_cluster(flags.payments, bounds))
    found = search.run(flags.states)
    extent = "exhausted" if found.is_complete else "NOT exhausted, stopped"
    print(
        f"{extent}: {found.states:,} states, bounds: {flags.payments} payments, {bounds};"
        f" depth {found.depth}, {len(search.space.states):,} states of single nodes,"
        f" {len(search.space.messages)} messages; {found.played_out:,} played out to their end;"
        f" {time.monotonic() - began:.1f} s"
    )
    if found.wrong:
        print(f"WRONG: {found.wrong}; the shortest way there:")
        print("\n".join(f"  {number:2}  {line}" for number, line in enumerate(found.trace, 1)))
        return 1
    return 0 if found.is_complete else 2


if __name__ == "__main__":
    sys.exit(main())
