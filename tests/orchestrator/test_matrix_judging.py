"""What the matrix judges by finds each thing that is wrong with money, doubts, shells and files."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from nodes.client import Outbox, PaymentRequest, PaymentResult, State, new_payment_id
from orchestrator.matrix import judging
from orchestrator.matrix.ground import SHELL_USER
from orchestrator.matrix.judging import audit_files, find_lingering, find_shell_faults
from orchestrator.matrix.load import Told
from tests.altered_books import alter
from tests.paper_cluster import BANKS, PaperCluster

MEMO = "matrix 1"


class Ground:
    """A ground on paper: an outbox, what the gateway shows the shell's user, and totals of banks, in turn."""

    def __init__(self, folder) -> None:
        self.folder = SimpleNamespace(outbox=folder / "outbox.db", database=lambda node: folder / f"{node}.db")
        self.config = SimpleNamespace(banks=BANKS)
        self.paid: list[SimpleNamespace] = []
        self.totals: list[SimpleNamespace] = []

    @contextmanager
    def connect(self, user):
        assert user == SHELL_USER
        yield SimpleNamespace(payments=lambda _: SimpleNamespace(payments=self.paid))

    def save(self, state, *, ends="", memo=MEMO):
        """Have an item in the outbox, and (``ends``) how the gateway has it."""
        outbox = Outbox(self.folder.outbox)
        item = outbox.save(SHELL_USER, PaymentRequest(new_payment_id(), "eve@HDFC", "ann@SBI", 1, "INR", memo))
        if state is not State.NEVER_SENT:
            outbox.settle(item, state, "")
        if ends:
            self.show(item.request.payment_id, ends)
        return item.request.payment_id

    def show(self, payment_id, outcome):
        self.paid.append(SimpleNamespace(payment_id=payment_id, outcome=outcome, memo=MEMO))


@pytest.fixture
def ground(tmp_path, monkeypatch):
    ground = Ground(tmp_path)

    @contextmanager
    def call_gateway(*_):
        yield SimpleNamespace(
            collect_totals=lambda: ground.totals.pop(0) if ground.totals[1:] else ground.totals[0]
        )

    monkeypatch.setattr(judging, "call_gateway", call_gateway)
    monkeypatch.setattr(judging, "IN_DOUBT_MAX_S", 0.2)
    return ground


def totals(in_doubt=0, away=()):
    return SimpleNamespace(banks=[SimpleNamespace(bank="HDFC", in_doubt=in_doubt)], unavailable_banks=away)


@pytest.mark.parametrize("state", [State.COMMITTED, State.DECLINED])
def test_a_shell_that_ended_its_payment_once_is_right(ground, state):
    ground.save(state, ends=state.name.lower())
    ground.save(State.UNKNOWN, memo="of another cell")
    assert list(find_shell_faults(ground, MEMO, "paid")) == []


@pytest.mark.parametrize("state", [State.NEVER_SENT, State.UNKNOWN])
def test_what_still_waits_in_an_outbox_is_told(ground, state):
    payment_id = ground.save(state)
    assert list(find_shell_faults(ground, MEMO, "")) == [
        f"the outbox still has {payment_id} as {state.name.lower()}"
    ]


def test_a_payment_that_was_made_twice_is_told(ground):
    for _ in range(2):
        ground.save(State.COMMITTED, ends="committed")
    assert list(find_shell_faults(ground, MEMO, "")) == ["one payment of the shell was made 2 times"]


@pytest.mark.parametrize(
    ("state", "ends"), [(State.COMMITTED, ""), (State.COMMITTED, "declined"), (State.EXPIRED, "committed")]
)
def test_an_outbox_that_has_another_end_than_the_gateway_is_told(ground, state, ends):
    payment_id = ground.save(state, ends=ends)
    said = f"the outbox has {payment_id} as {state.name.lower()}, the gateway as {ends or None}"
    assert list(find_shell_faults(ground, MEMO, "")) == [said]


def test_a_payment_that_the_outbox_has_lost_and_a_traceback_are_told(ground):
    ground.save(State.UNKNOWN, memo="of another cell")
    ground.show("p1", "committed")
    said = ["a shell shows a traceback", "p1 was made, and the outbox does not have it"]
    assert list(find_shell_faults(ground, MEMO, "Traceback (most recent call last)")) == said


def test_what_is_in_doubt_for_a_moment_is_no_fault_and_what_stays_is(ground):
    ground.totals = [totals(in_doubt=2), totals()]
    assert find_lingering(ground) == []
    ground.totals = [totals(in_doubt=2)]
    assert find_lingering(ground) == ["HDFC holds 2 in doubt"]
    ground.totals = [totals(away=["SBI"])]
    assert find_lingering(ground) == ["SBI cannot be asked"]


def test_files_that_do_not_agree_with_each_other_or_with_what_was_told_are_told(tmp_path):
    cluster, ground = PaperCluster(tmp_path), Ground(tmp_path)
    payment_id = str(cluster.pay(100))
    cluster.stop()
    request = PaymentRequest(payment_id, "alice@ICICI", "bob@HDFC", 100, "INR")

    def told(outcome):
        return [Told("alice", request, PaymentResult(payment_id, outcome, "", replayed=False), 0.0, 1.0)]

    assert audit_files(ground, told("committed")) == []
    [lie] = audit_files(ground, told("declined"))
    assert "was told declined; on record is: committed" in lie
    alter(cluster.paths["SBI"], "UPDATE account SET posted = posted + 5 WHERE name = 'bob'")
    assert {line.partition(":")[0] for line in audit_files(ground, ())} == {"double entry", "money"}
