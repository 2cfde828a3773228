"""Applies deliberate bugs (`tests.simulator.bugs`) to the real code: the measure of the simulator.

A schedule that finds a violation catches the mutant. ``python -m tests.simulator.mutants``
prints which schedule catches each, and what is violated.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from tests.simulator.bugs import MUTANTS, Mutant
from tests.simulator.schedule import run_schedule


class Catch(NamedTuple):
    """How a mutant was caught: in which schedule, and what was violated."""

    seed: int
    violation: str


SCHEDULES_MAX = 10_000


def catch(mutant: Mutant) -> Catch | None:
    """Return the first schedule that finds the bug, None if none does."""
    with applied(mutant):
        for seed in range(SCHEDULES_MAX):
            violation = run_schedule(seed).violation
            if violation:
                return Catch(seed, violation)
    return None


def main() -> int:
    """Print how each mutant is caught; 1 if one is not."""
    missed = 0
    print(f"{'SEED':>5}  {'MUTANT':<55}  CAUGHT BY")
    for mutant in MUTANTS:
        caught = catch(mutant)
        missed += caught is None
        seed, violation = caught or ("-", "NOTHING")
        print(
            f"{seed:>5}  {mutant.name:<55}  {violation.removeprefix('Violation: ').partition(': ')[0][:80]}",
            flush=True,
        )
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} caught")
    return 1 if missed else 0


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Put a bug into the real code for as long as this lasts."""
    original = vars(mutant.owner)[mutant.function]
    source = textwrap.dedent(inspect.getsource(original))
    if source.count(mutant.right) != 1:
        raise LookupError(f"the mutant {mutant.name!r} does not fit {mutant.function} any more: {mutant.right!r}")
    module = mutant.owner if isinstance(mutant.owner, ModuleType) else inspect.getmodule(mutant.owner)
    assert module is not None
    made: dict[str, Any] = {}
    exec(source.replace(mutant.right, mutant.wrong), vars(module), made)
    setattr(mutant.owner, mutant.function, made[mutant.function])
    try:
        yield
    finally:
        setattr(mutant.owner, mutant.function, original)


if __name__ == "__main__":
    sys.exit(main())
