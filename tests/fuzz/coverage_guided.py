"""Let atheris look for new paths through the fuzz targets: ``make fuzz-guided`` (needs Python 3.11 to 3.13).

Each target is a process of its own that libFuzzer drives: it keeps what reached code
that nothing before it had reached, and changes that further. A finding ends its target
with the bytes in ``crash-...`` beside where it was started.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nodes", "orchestrator"]):
    from tests.fuzz.targets import RpcTarget, all_targets

_SEEDS = 200


def guide(name: str, options: list[str]) -> None:
    """Fuzz one target in this process until libFuzzer ends it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    [target] = [target for target in all_targets() if target.name == name]

    def try_one(content: bytes) -> None:
        loop.run_until_complete(target.run(content))

    with tempfile.TemporaryDirectory() as corpus:
        rng = random.Random(0)
        for number in range(_SEEDS):
            (Path(corpus) / str(number)).write_bytes(loop.run_until_complete(_seed(target, rng)))
        atheris.Setup([sys.argv[0], *options, corpus], try_one)
        atheris.Fuzz()


async def _seed(target: RpcTarget, rng: random.Random) -> bytes:
    return target.mutate(rng)


def main() -> int:
    """Guide each target for an equal part of the time, one after the other."""
    if sys.argv[1] == "--target":
        guide(sys.argv[2], sys.argv[3:])
        return 0
    seconds, parts = int(sys.argv[1]), sys.argv[2:]
    names = [t.name for t in all_targets() if not parts or any(part in t.name for part in parts)]
    failed = []
    for name in names:
        options = [f"-max_total_time={max(1, seconds // len(names))}", "-max_len=8192", "-print_final_stats=1"]
        command = [sys.executable, "-m", "tests.fuzz.coverage_guided", "--target", name, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stats = [line.split() for line in done.stderr.splitlines() if line.startswith("stat::")]
        numbers = {words[0].removeprefix("stat::").rstrip(":"): words[-1] for words in stats}
        executed, new = (numbers.get(key, "?") for key in ("number_of_executed_units", "new_units_added"))
        print(f"{name:32} {executed:>10} requests, {new:>6} on new paths", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-2000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
