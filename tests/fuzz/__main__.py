"""Run the fuzzer: ``make fuzz FOR=60s SEED=0 TARGETS="Pay Transact"``.

Each target gets an equal part of the time. Printed are the requests made and the codes
that came back; a finding ends its target, with the bytes that make it again, and the exit code
is 1.
"""

import argparse
import asyncio
import random
import sys
import time

from nodes.runtime.flags import parse_duration
from tests.fuzz.targets import Finding, Target, all_targets


async def fuzz(target: Target, rng: random.Random, *, for_s: float = float("inf"), requests: int = 2**63) -> int:
    """Send requests for so long, or so many; return how many there were. Raises `Finding`."""
    ends, made = time.monotonic() + for_s, 0
    try:
        while made < requests and (made % 64 or time.monotonic() < ends):
            await target.run(target.mutate(rng))
            made += 1
    finally:
        await target.close()
    return made


def main() -> int:
    """Fuzz everything, or what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Send what nobody would.")
    parser.add_argument("--for", dest="for_s", type=parse_duration, default=60.0, help="in all (60s)")
    parser.add_argument("--seed", type=int, default=0, help="makes the same requests again (0)")
    parser.add_argument("targets", nargs="*", help="parts of targets' names; all if none is given")
    parser.add_argument("--requests", type=int, default=2**63, help="at most so many to each target (no limit)")
    flags = parser.parse_args()
    chosen = [t for t in all_targets() if not flags.targets or any(part in t.name for part in flags.targets)]
    found = 0
    for target in chosen:
        rng = random.Random(f"{flags.seed} {target.name}")
        begins = time.monotonic()
        try:
            asyncio.run(fuzz(target, rng, for_s=flags.for_s / len(chosen), requests=flags.requests))
        except Finding as finding:
            found += 1
            print(f"FINDING {finding}")
        codes = ", ".join(f"{code} {count:,}" for code, count in target.codes.most_common())
        made = target.codes.total()
        print(f"{target.name:32} {made:>10,} in {time.monotonic() - begins:5.1f} s   {codes}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
