"""A long storm for the terminal: ``python -m tests.handshakes --handshakes 100000``."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.handshakes.storm import run_storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.handshakes", description=__doc__)
    parser.add_argument("--handshakes", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two replacements")
    flags = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        storm = run_storm(Path(folder), handshakes=flags.handshakes, replaced_every_s=flags.every)
    print(
        f"{storm.handshakes} handshakes in {time.monotonic() - began:.0f} s, {storm.replacements} replacements,"
        f" {len(storm.served)} certificates seen, {len(storm.failures)} failures"
    )
    for failure in storm.failures[:5]:
        print(f"  {failure}")
    if storm.exit_code is not None:
        print(f"the server ended with {storm.exit_code}")
    return 1 if storm.failures or storm.exit_code is not None else 0


if __name__ == "__main__":
    sys.exit(main())
