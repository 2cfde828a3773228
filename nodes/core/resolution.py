"""What may be done by hand about a transaction in doubt: nothing that contradicts the evidence.

A bank that voted yes waits for the gateway, and the gateway has an answer for all but one
case: a transaction of an epoch that has not begun there. Then the gateway's records are
older than the bank's (they were restored from a copy, or lost), and only people can tell.
What they say is written once, by the gateway, with who said it and why, in its chain of
hashes; from then on it is the answer to that bank's inquiries like any decision.
"""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from nodes.core.messages import Decision, TransactionKey

WHY_MAX = 200


def is_reason(why: str) -> bool:
    """Tell whether ``why`` may be put on record: one line, not too long."""
    return 0 < len(why) <= WHY_MAX and why.isprintable()


class Resolution(NamedTuple):
    """An operator's word on a transaction: ``who`` gave it and ``why``."""

    payment_id: bytes
    payer: str
    epoch: int
    commit: bool
    who: str
    why: str
    at_us: int

    @property
    def transaction(self) -> TransactionKey:
        """The transaction that it settles."""
        return self.payment_id, self.payer, self.epoch

    @property
    def act(self) -> str:
        """What the gateway's chain covers."""
        return json.dumps(["resolve", self.payment_id.hex(), *self[1:3], bool(self.commit), *self[4:]])


class State(IntEnum):
    """How a transaction stands at a bank; the values are those of interbank.v1.TransactionState."""

    PREPARED = 1
    COMMITTED = 2
    ABORTED = 3


class Standing(NamedTuple):
    """What the gateway knows of a transaction: ``commit`` is its answer, None if it has none."""

    commit: bool | None
    is_open: bool
    said: str


def judge(
    epoch: int, recorded: Decision | None, resolved: bool | None, *, is_open: bool, gateway_epoch: int
) -> Standing:
    """Say what the gateway answers for a transaction of ``epoch``, and on what ground."""
    if recorded is not None and recorded.epoch == epoch:
        return Standing(recorded.is_committed, False, f"the gateway's decision: {recorded.outcome.name.lower()}")
    if resolved is not None:
        return Standing(resolved, False, f"resolved by an operator: {'commit' if resolved else 'abort'}")
    if epoch > gateway_epoch:
        return Standing(None, False, f"epoch {epoch} has not begun at the gateway: its records are older")
    if is_open and epoch == gateway_epoch:
        return Standing(None, True, "under way")
    return Standing(False, False, f"aborted: its epoch {epoch} left no decision")


def find_objection(commit: bool, standing: Standing, banks: Mapping[str, State | None]) -> str:
    """Say why a transaction may not be resolved so; empty if it may.

    ``banks`` are all that it touches, with what each has on record of this very try.
    """
    if standing.is_open:
        return "it is under way: its decision comes by itself"
    if standing.commit is not None:
        if standing.commit is not commit:
            return f"that contradicts the record ({standing.said})"
        return f"there is nothing to resolve ({standing.said}); `cluster indoubt retry` has the bank ask for it"
    for bank, state in banks.items():
        if state is (State.ABORTED if commit else State.COMMITTED):
            return f"that contradicts the record: {bank} has {state.name.lower()} it"
        if commit and state is None:
            return f"{bank} has made no promise: it cannot be committed there"
    return ""
