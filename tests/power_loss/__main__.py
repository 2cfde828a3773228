"""Cut the power: ``python -m tests.power_loss --images 10000``; 1 if anything was lost."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.power_loss.campaign import SUBJECTS, cut_many


def main() -> int:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(prog="python -m tests.power_loss", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL", "OFF"), default="FULL")
    flags = parser.parse_args()
    began = time.monotonic()
    images, lost = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for loss in cut_many(Path(folder), flags.images, seed=flags.seed, synchronous=flags.synchronous):
            images += 1
            if loss is not None:
                lost[loss.subject] += 1
                if lost.total() <= 10:
                    print(f"{loss.subject}, recording {loss.recording}, operation {loss.operation}: {loss.what}")
    names = ", ".join(kind.__name__.removesuffix("Subject").lower() for kind in SUBJECTS)
    print(
        f"{images:,} images ({names}) with synchronous={flags.synchronous}: {lost.total():,} lost something,"
        f" in {time.monotonic() - began:.1f} s"
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
