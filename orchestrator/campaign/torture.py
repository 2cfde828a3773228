"""Kills and nothing else, round after round: ``python -m orchestrator.campaign.torture`` (`make torture`).

Each round is a campaign of its own, with a seed of its own, judged by its files. What a
round came to is a line in ``rounds.jsonl``; started again, it goes on after the last of
them. The report of a round that failed is kept beside it, and the first one ends all.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orchestrator.campaign import schedule
from orchestrator.campaign.campaign import Campaign, Result
from orchestrator.campaign.figures import percentile
from orchestrator.campaign.report import write_report
from orchestrator.campaign.stage import set_up
from orchestrator.lifecycle.scratch import scratch_folder

_BANKS = ("HDFC", "ICICI", "SBI")
_KINDS = ("kill", "kill", "kill", "kill", "kill-all", "kill-supervisor", "kill-client")
_EVERY_S = 1.5
_ROUND_S = 40.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to. ``recoveries`` has (what was killed, seconds until a payment with it committed)."""

    seed: int
    is_passed: bool
    kills: dict[str, int]
    acknowledged: int
    settled: int
    recoveries: list[tuple[str, float]]

    @property
    def cycles(self) -> int:
        """How many kills there were."""
        return sum(self.kills.values())


def main() -> int:
    """Run rounds until there were enough kills; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.campaign.torture", description=__doc__)
    parser.add_argument("--cycles", type=int, default=500, help="how many kills in all")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next has the next")
    parser.add_argument("--report", type=Path, default=Path("torture"), help="folder for what rounds came to")
    flags = parser.parse_args()
    flags.report.mkdir(parents=True, exist_ok=True)
    rounds = read_rounds(flags.report)
    for seed in _next_seeds(flags.seed, rounds):
        if sum(each.cycles for each in rounds) >= flags.cycles:
            break
        rounds.append(_run_round(seed, flags.report))
        _say(describe(rounds))
        if not rounds[-1].is_passed:
            _say(f"round {seed} FAILED: {flags.report}/round-{seed}/index.html")
            return 1
    _say(describe(rounds))
    return 0 if all(each.is_passed for each in rounds) else 1


def read_rounds(folder: Path) -> list[Round]:
    """Return the rounds that were finished before."""
    path = folder / "rounds.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [Round(**json.loads(line)) for line in lines]


def describe(rounds: list[Round]) -> str:
    """Return all figures so far, on a line."""
    kills: dict[str, int] = {}
    for each in rounds:
        for kind, count in each.kills.items():
            kills[kind] = kills.get(kind, 0) + count
    recovery = sorted(took_s for each in rounds for _, took_s in each.recoveries)
    failed = ", ".join(str(each.seed) for each in rounds if not each.is_passed)
    return (
        f"{sum(kills.values())} cycles ({', '.join(f'{count} {kind}' for kind, count in sorted(kills.items()))}), "
        f"{sum(each.acknowledged for each in rounds):,} acknowledged, "
        f"{sum(each.settled for each in rounds):,} unknown and then settled, "
        f"{'FAILED with seed ' + failed if failed else 'none lost'}; recovery of {len(recovery)}: "
        f"p50 {percentile(recovery, 0.5):.2f} s, p99 {percentile(recovery, 0.99):.2f} s"
    )


def summarise(result: Result) -> Round:
    """Return what is kept of a round."""
    return Round(
        seed=result.schedule.seed,
        is_passed=result.is_passed,
        kills=result.figures.deeds,
        acknowledged=result.figures.acknowledged,
        settled=result.figures.settled,
        recoveries=[
            (each.target or each.kind, each.took_s)
            for each in result.figures.recoveries
            if each.took_s is not None and each.is_alone
        ],
    )


def _next_seeds(first: int, rounds: list[Round]) -> Iterator[int]:
    done = {each.seed for each in rounds}
    seed = first
    while True:
        if seed not in done:
            yield seed
        seed += 1


def _run_round(seed: int, folder: Path) -> Round:
    drawn = schedule.draw(seed, _ROUND_S, _BANKS, kinds=_KINDS, every_s=_EVERY_S)
    # So each recovery is seen to its end, however slow the machine is.
    plan = replace(drawn, is_patient=True)
    with scratch_folder(Path("/var/tmp"), "torture") as scratch:  # noqa: S108 - made by mkdtemp below it
        result = Campaign(plan, set_up(scratch, plan.banks), lambda _: None).run()
        summary = summarise(result)
        with (folder / "rounds.jsonl").open("a") as file:
            file.write(json.dumps(asdict(summary)) + "\n")
        if not result.is_passed:
            scratch.keep()
            write_report(result, folder / f"round-{seed}")
            _say(f"the cluster's folder is kept: {scratch.root}")
    return summary


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
