"""Deliberate bugs in the rules: the measure of the simulator.

Each mutant changes one piece of text in one function of the real rules, stores or
turns. Several are bugs that other systems had (Seata, dtm, Atomikos). A schedule that
finds a violation catches the mutant.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.core import coordinator, participant
from nodes.core.coordinator import Coordinator
from nodes.core.ledger import Ledger
from nodes.core.participant import Participant
from nodes.gateway import turn as gateway_turn
from nodes.gateway.store import GatewayStore
from tests.simulator.schedule import run_schedule


class Mutant(NamedTuple):
    """One bug: in ``owner.function`` the text ``right`` becomes ``wrong``."""

    name: str
    owner: Any
    function: str
    right: str
    wrong: str


# fmt: off
MUTANTS = [
    # -- the gateway decides
    Mutant("decides twice", Coordinator, "_decide", "del self.open[key]", "self.open.get(key)"),
    Mutant("commits on the first yes", Coordinator, "count_vote", "if not opened.missing_votes:", "if True:"),
    Mutant("waits for the payer's vote only", coordinator._Open, "__init__", "_PAYER_VOTE | _PAYEE_VOTE", "_PAYER_VOTE"),
    Mutant("takes a no for a yes", Coordinator, "count_vote", "if kind is VoteKind.YES:", "if kind is not VoteKind.COMMITTED:"),
    Mutant("counts votes of an older epoch", Coordinator, "count_vote", "or epoch != self.epoch", ""),
    Mutant("commits when the deadline comes", Coordinator, "expire", "Outcome.DECLINED", "Outcome.COMMITTED"),
    Mutant("tells banks to commit what it declined", Coordinator, "_decide", "self.epoch, outcome is Outcome.COMMITTED)", "self.epoch, True)"),
    Mutant("tells banks to abort what it committed", Coordinator, "_decide", "self.epoch, outcome is Outcome.COMMITTED)", "self.epoch, False)"),
    Mutant("does not raise its epoch", GatewayStore, "begin_epoch", "number + 1", "max(number, 1)"),
    Mutant("speaks before it has written", gateway_turn, "take_turn", "if effects.decisions or contradictions:", "if len(effects.decisions) > 1:"),
    # -- the gateway repeats itself
    Mutant("forgets what it decided", gateway_turn, "take_turn", "recorded = store.find_decisions(_keys(events))", "recorded = {}"),
    Mutant("forgets what it decided in this turn", Coordinator, "begin", "recorded or self._effects.decisions.get(key)", "recorded"),
    Mutant("does not replay declines", Coordinator, "begin", "if recorded is not None:", "if recorded is not None and recorded.is_committed:"),
    Mutant("ignores the fingerprint of what is decided", Coordinator, "begin", "_compare(recorded.payment, payment) or Decided", "Decided"),
    Mutant("ignores the fingerprint of what is under way", Coordinator, "begin", "differs = _compare(under_way.payment, payment)", "differs = None"),
    Mutant("takes the newest id on record for a new one", GatewayStore, "find_decisions", "key[0] <= self._newest_id", "key[0] < self._newest_id"),
    Mutant("mixes up two users' ids", GatewayStore, "find_decisions", "if key in wanted:", "for key in [k for k in wanted if k[0] == row[2]]:"),
    # -- the gateway is asked
    Mutant("presumes commit", Coordinator, "answer_inquiry", "commit=False", "commit=True"),
    Mutant("answers for another epoch", Coordinator, "answer_inquiry", "and decision.epoch == epoch", ""),
    Mutant("aborts what is under way when asked", Coordinator, "answer_inquiry", "elif epoch < self.epoch or key not in self.open:", "else:"),
    Mutant("is asked in the turn of the decision", Coordinator, "answer_inquiry", "or self._effects.decisions.get(key)", ""),
    Mutant("answers inquiries without looking", gateway_turn, "_keys", "keys += [(payment_id, payer) for payment_id, payer, _ in transactions]", "pass"),
    Mutant("hears a bank connect and says nothing", Coordinator, "answer_inquiry", "answers.append(Decide(payment_id, payer, epoch, decision.is_committed))", "pass"),
    # -- a bank votes
    Mutant("votes before the hold is on disk", bank_turn, "_take_part", "if any(changes):", "if changes.entries:"),
    Mutant("votes yes after an abort", Participant, "prepare", "if entry.epoch >= prepare.epoch:", "if entry.epoch > prepare.epoch:"),
    Mutant("prepares again what it recorded", Participant, "prepare", "if entry is not None:", "if False:"),
    Mutant("lets an older epoch take over a hold", Participant, "prepare", "if hold.epoch > prepare.epoch:", "if False:"),
    Mutant("keeps the old epoch's hold beside the new", Participant, "prepare", "self.ledger.release(hold)", "pass"),
    Mutant("answers a newer epoch for the older hold", Participant, "prepare", "if hold.epoch == prepare.epoch:", "if True:"),
    Mutant("does not look at the authority", Participant, "_vote_first", "if not prepare.is_rightful:", "if False:"),
    Mutant("does not look for funds", participant, "_refuse", "< floor", "< floor - 10**6"),
    Mutant("does not count what is held", participant, "_refuse", "debit.posted - debit.held", "debit.posted"),
    Mutant("does not look into its journal", bank_turn, "_look_up", "recorded = store.find_entries(asked)", "recorded = {}"),
    Mutant("takes the newest id in its journal for a new one", BankStore, "find_entries", "key[0] <= self._newest_id", "key[0] < self._newest_id"),
    Mutant("looks at the oldest entry", BankStore, "find_entries", "found[key].epoch < row[3]", "found[key].epoch > row[3]"),
    # -- a bank carries out
    Mutant("leaves no tombstone", Participant, "decide", "self._record_abort(decide)", "pass"),
    Mutant("leaves no tombstone of what it held", Participant, "_decide_held", "self._record_abort(decide)", "pass"),
    Mutant("keeps the hold of what was aborted", Participant, "_decide_held", "self.ledger.release(hold)", "pass"),
    Mutant("releases what was committed", Participant, "_decide_held", "self.ledger.post(hold)", "self.ledger.release(hold)"),
    Mutant("lets an older abort release a newer hold", Participant, "_decide_held", "elif decide.epoch >= hold.epoch:", "else:"),
    Mutant("carries out a commit of another epoch", Coordinator, "answer_inquiry", "Decide(payment_id, payer, epoch, decision.is_committed)", "Decide(payment_id, payer, decision.epoch - 1, decision.is_committed)"),
    Mutant("records an abort for what it posts", Participant, "_decide_held", "Outcome.COMMITTED", "Outcome.DECLINED"),
    # -- a bank's books
    Mutant("debits and does not credit", Ledger, "post", "credit.posted += hold.amount_minor", "pass"),
    Mutant("promises and does not hold", Ledger, "promise", "debit.held += hold.amount_minor", "pass"),
    Mutant("forgets to lower what is incoming", Ledger, "release", "credit.incoming -= hold.amount_minor", "pass"),
    Mutant("leaves released holds on disk", BankStore, "write", "if changes.released:", "if False:"),
    Mutant("forgets its holds when it starts", BankStore, "holds", "ORDER BY at_us", "WHERE false"),
    Mutant("names the wrong clearing account", Participant, "_hold", "clearing_account(payer_bank, currency)", "clearing_account('SBI', currency)"),
    Mutant("lets a user's hold replace another's", Participant, "decide", "key = decide.payment_id, decide.payer", "key = next((k for k in self.ledger.holds if k[0] == decide.payment_id), (decide.payment_id, decide.payer))"),
]
# fmt: on


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
