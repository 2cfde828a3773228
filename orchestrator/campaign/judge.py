"""What was told against what is in the files: the rules that a campaign must not have broken.

The database files of the stopped nodes are read, and no running node is asked: what a
client was told must be there. Most is found by the audit (`nodes.core.audit`); about
histories there are rules of their own here. Each check says how much it looked at, since
one that saw nothing has proved nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from nodes.client import Item, State
from nodes.core.audit import audit
from nodes.core.books import BankBooks, Told, read_entry
from nodes.core.messages import Outcome
from nodes.runtime.book_files import open_books
from orchestrator.campaign.history import COMMITTED, OUTCOMES, REFUSED, UNKNOWN, Attempt, Look

_CURRENCY = "INR"
_SHOWN = 20

Line = Attempt | Look


class Evidence(NamedTuple):
    """All that is judged: the files, what clients wrote down, their outboxes, and what did not end in time.

    ``faults`` are how many were to be injected, ``undone`` which of them were not, and why.
    """

    gateway: Path
    banks: Mapping[str, Path]
    lines: Sequence[Line]
    items: Sequence[Item] = ()
    unfinished: Sequence[str] = ()
    faults: int = 0
    undone: Sequence[str] = ()


class Check(NamedTuple):
    """One rule: what it claims, how many things it looked at, and what it found against the claim."""

    name: str
    claim: str
    examined: int
    findings: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def judge(evidence: Evidence) -> list[Check]:
    """Return every check with what it found; raises `nodes.runtime.database.DatabaseUnusable`."""
    attempts = [line for line in evidence.lines if isinstance(line, Attempt)]
    looks = [line for line in evidence.lines if isinstance(line, Look)]
    told = collect_told(attempts, evidence.items)
    with open_books(evidence.gateway, dict(evidence.banks)) as (gateway, banks):
        report = audit(gateway, banks, told)
        overspent = [said for bank in banks for said in find_overspending(bank)]
        holds = [
            f"{hold.amount_minor} of {hold.debit_account} at {bank.name}" for bank in banks for hold in bank.holds
        ]
        found: dict[str, list[str]] = {}
        for finding in report.findings:
            found.setdefault(finding.check, []).append(str(finding))
    found["holds"] = found.get("holds", []) + [f"still held: {hold}" for hold in holds]
    found["never overspent"] = overspent
    counts = dict.fromkeys(("double entry", "exactly once", "never overspent"), report.entries)
    counts |= {"told": len(told), "holds": report.entries, "money": len(report.money)}
    audited = [
        _check(name, claim, counts.get(name, report.decisions), found.pop(name, [])) for name, claim in _AUDITED
    ]
    audited += [_check(name, "found by the audit", report.decisions, each) for name, each in found.items()]
    return [*audited, *_judge_histories(attempts, looks, evidence)]


_AUDITED = (
    ("told", "every outcome that a client was told is in the files"),
    ("atomicity", "each payment happened at all of its banks, or at none"),
    ("exactly once", "no payment happened twice"),
    ("money", "no money was made or lost"),
    ("never overspent", "no account was below zero after any entry"),
    ("double entry", "accounts are what their journals fold to"),
    ("holds", "nothing is held or in doubt"),
    ("chain", "no record was altered"),
    ("heads", "no record was cut off"),
)


def collect_told(attempts: Iterable[Attempt], items: Iterable[Item]) -> list[Told]:
    """Return what clients were told for good, a line for each payment."""
    told: dict[tuple[bytes, str], Told] = {}
    for attempt in attempts:
        if attempt.outcome in OUTCOMES and not attempt.is_mutated:
            request = attempt.request
            key = UUID(request.payment_id).bytes, request.user
            told[key] = Told(
                key, request.payer, request.payee, request.amount_minor, _CURRENCY, _outcome(attempt.outcome)
            )
    for item in items:
        if item.state.is_final:
            asked = item.request
            key = UUID(asked.payment_id).bytes, item.user
            told[key] = Told(
                key, asked.payer_account, asked.payee_account, asked.amount_minor, asked.currency, _ended(item)
            )
    return list(told.values())


def find_overspending(bank: BankBooks) -> list[str]:
    """Fold a journal entry by entry; return the customers' accounts that were ever below zero."""
    balances: dict[str, int] = {}
    found: dict[str, str] = {}
    for row in chain.from_iterable(zip(*page, strict=True) for page in bank.entries()):
        sequence, entry = row[0], read_entry(row)
        if entry.outcome != Outcome.COMMITTED:
            continue
        balances[entry.debit_account] = balances.get(entry.debit_account, 0) - entry.amount_minor
        balances[entry.credit_account] = balances.get(entry.credit_account, 0) + entry.amount_minor
        left = balances[entry.debit_account]
        if left < 0 and not entry.debit_account.startswith("@"):
            said = f"{entry.debit_account}@{bank.name} has {left} after entry {sequence}"
            found.setdefault(entry.debit_account, said)
    return list(found.values())


def _judge_histories(attempts: list[Attempt], looks: list[Look], evidence: Evidence) -> list[Check]:
    mutated = [attempt for attempt in attempts if attempt.is_mutated]
    sent = [attempt for attempt in attempts if not attempt.is_mutated]
    answered = [attempt for attempt in sent if attempt.outcome in OUTCOMES]
    has_paid = any(attempt.outcome == COMMITTED for attempt in answered)
    done = evidence.faults - len(evidence.undone)
    return [
        _check("stable", "an outcome that was told never changes", len(answered), _find_changes(sent)),
        _check(
            "bodies",
            "another body under a used id is always refused",
            len(mutated),
            [
                f"{_describe(each)} was {each.outcome}"
                for each in mutated
                if each.outcome not in (REFUSED, UNKNOWN)
            ],
        ),
        _check(
            "reads",
            "clients read what follows from what they were told",
            len(looks),
            [
                f"{each.client}: {each.what}: {each.found}, not {each.at_least} to {each.at_most}"
                for each in looks
                if not each.is_consistent
            ],
        ),
        _check(
            "ended",
            "once all is healed, every payment comes to an end",
            len({(each.request.user, each.request.payment_id) for each in sent}) + len(evidence.items),
            [
                *evidence.unfinished,
                *_find_unended(sent),
                *_find_waiting(evidence.items),
                *([] if has_paid else ["no client was ever told that it has paid: nothing is proved"]),
            ],
        ),
        # Some cannot be done, as when there is no supervisor just then; if none was, nothing was tried.
        _check("broken", "what was to be broken was broken", done, [] if done else evidence.undone),
    ]


def _find_changes(attempts: Iterable[Attempt]) -> list[str]:
    first: dict[tuple[str, str], Attempt] = {}
    changes = []
    for attempt in attempts:
        key = attempt.request.user, attempt.request.payment_id
        if attempt.outcome == REFUSED:
            changes.append(f"{_describe(attempt)} was refused, though its body is the one that was sent first")
        elif attempt.outcome in OUTCOMES:
            before = first.setdefault(key, attempt)
            if (before.outcome, before.detail) != (attempt.outcome, attempt.detail):
                changes.append(
                    f"{_describe(attempt)} was {before.outcome} {before.detail} to {before.client},"
                    f" then {attempt.outcome} {attempt.detail}"
                )
    return changes


def _find_unended(attempts: Iterable[Attempt]) -> list[str]:
    last = {(each.client, each.request.payment_id): each for each in attempts}
    return [f"{_describe(each)}: {each.detail}" for each in last.values() if each.outcome == UNKNOWN]


def _find_waiting(items: Iterable[Item]) -> list[str]:
    return [
        f"{item.user}: payment {item.request.payment_id} waits in the outbox, {item.state.name.lower()}"
        for item in items
        if not item.state.is_final
    ]


def _describe(attempt: Attempt) -> str:
    return f"{attempt.client}: payment {attempt.request.payment_id}"


def _outcome(name: str) -> Outcome:
    return Outcome.COMMITTED if name == COMMITTED else Outcome.DECLINED


def _ended(item: Item) -> Outcome | None:
    return {State.COMMITTED: Outcome.COMMITTED, State.DECLINED: Outcome.DECLINED}.get(item.state)


def _check(name: str, claim: str, examined: int, findings: Sequence[str]) -> Check:
    shown = list(findings[:_SHOWN])
    if len(findings) > _SHOWN:
        shown.append(f"and {len(findings) - _SHOWN} more")
    return Check(name, claim, examined, tuple(shown))
