"""Explore the small case: ``python -m tests.model --states 2000000``; 1 if a state is wrong."""

import argparse
import gc
import sys
import time

from tests.model.search import Search
from tests.model.space import two_payments


def main() -> int:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--states", type=int, default=2_000_000, help="look at no more than these")
    parser.add_argument("--epochs", type=int, default=3, help="how often the gateway starts at most")
    flags = parser.parse_args()
    began = time.monotonic()
    gc.disable()
    search = Search(two_payments(flags.epochs))
    found = search.run(flags.states)
    extent = "all of them" if found.is_complete else "stopped there"
    print(
        f"{found.states:,} states ({extent}), depth {found.depth}, {len(search.space.states):,} states of single"
        f" nodes, {len(search.space.messages)} messages; {found.played_out:,} played out to their end;"
        f" {time.monotonic() - began:.1f} s"
    )
    if found.wrong:
        print(f"WRONG: {found.wrong}; the shortest way there:")
        print("\n".join(f"  {number:2}  {line}" for number, line in enumerate(found.trace, 1)))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
