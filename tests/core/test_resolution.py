"""What may be settled by hand: only what no record settles, and never against one."""

import pytest

from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.core.resolution import WHY_MAX, Standing, State, find_objection, is_reason, judge

PAYMENT = Payment(bytes(16), "alice", "HDFC", "bob", "ICICI", 100, "INR", "")
COMMITTED = Decision(1, 3, PAYMENT, Outcome.COMMITTED, Reason.NONE, 5, 6)
DECLINED = COMMITTED._replace(outcome=Outcome.DECLINED, reason=Reason.INSUFFICIENT_FUNDS)

STANDINGS = [
    ("committed in that epoch", {"recorded": COMMITTED}, 3, Standing(True, False, "the gateway's decision: committed")),
    ("declined in that epoch", {"recorded": DECLINED}, 3, Standing(False, False, "the gateway's decision: declined")),
    ("decided in another epoch", {"recorded": COMMITTED}, 2, Standing(False, False, "aborted: its epoch 2 left no decision")),
    ("under way", {"is_open": True}, 5, Standing(None, True, "under way")),
    ("an older try of what is under way", {"is_open": True}, 4, Standing(False, False, "aborted: its epoch 4 left no decision")),
    ("nothing on record", {}, 5, Standing(False, False, "aborted: its epoch 5 left no decision")),
    ("of an epoch to come", {}, 9, Standing(None, False, "epoch 9 has not begun at the gateway: its records are older")),
    ("resolved as commit", {"resolved": True}, 9, Standing(True, False, "resolved by an operator: commit")),
    ("resolved, and its epoch has come", {"resolved": True}, 4, Standing(True, False, "resolved by an operator: commit")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "epoch", "standing"), [case[1:] for case in STANDINGS], ids=[case[0] for case in STANDINGS]
)
def test_the_gateways_answer_and_its_ground(known, epoch, standing):
    known = {"recorded": None, "resolved": None, "is_open": False} | known
    assert (
        judge(epoch, known["recorded"], known["resolved"], is_open=known["is_open"], gateway_epoch=5) == standing
    )


UNKNOWN = Standing(None, False, "epoch 9 has not begun at the gateway: its records are older")
BOTH = {"HDFC": State.PREPARED, "ICICI": State.PREPARED}
OBJECTIONS = [
    ("abort what nothing settles", False, UNKNOWN, BOTH, ""),
    ("commit what both have promised", True, UNKNOWN, BOTH, ""),
    ("commit what the other has posted", True, UNKNOWN, BOTH | {"ICICI": State.COMMITTED}, ""),
    ("abort what the other has posted", False, UNKNOWN, BOTH | {"ICICI": State.COMMITTED}, "that contradicts the record: ICICI has committed it"),
    ("commit what the other has aborted", True, UNKNOWN, BOTH | {"ICICI": State.ABORTED}, "that contradicts the record: ICICI has aborted it"),
    ("commit what the other has not promised", True, UNKNOWN, BOTH | {"ICICI": None}, "ICICI has made no promise: it cannot be committed there"),
    ("what is under way", False, Standing(None, True, "under way"), BOTH, "it is under way: its decision comes by itself"),
    ("abort what is decided as commit", False, Standing(True, False, "the gateway's decision: committed"), BOTH, "that contradicts the record (the gateway's decision: committed)"),
    ("commit what is presumed aborted", True, Standing(False, False, "aborted"), BOTH, "that contradicts the record (aborted)"),
    ("commit what is decided so", True, Standing(True, False, "decided"), BOTH, "there is nothing to resolve (decided); `cluster indoubt retry` has the bank ask for it"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("commit", "standing", "banks", "objection"),
    [case[1:] for case in OBJECTIONS],
    ids=[case[0] for case in OBJECTIONS],
)
def test_what_contradicts_the_evidence_is_refused(commit, standing, banks, objection):
    assert find_objection(commit, standing, banks) == objection


@pytest.mark.parametrize(
    ("why", "is_one"),
    [("restored", True), ("x" * WHY_MAX, True), ("x" * (WHY_MAX + 1), False), ("", False)]
    + [(f"a{character}b", False) for character in "\n\r\x00\x1b\u2028"],
)
def test_a_reason_is_one_line_that_can_be_shown(why, is_one):
    assert is_reason(why) is is_one
