"""The judge passes what is right, and finds each thing that is made wrong: in files, histories, outboxes."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from nodes.client import Item, PaymentRequest, State
from nodes.core.audit import Report
from nodes.core.reconciliation import Finding
from orchestrator.campaign.history import COMMITTED, DECLINED, REFUSED, UNKNOWN, Attempt, Look, Request
from orchestrator.campaign.judge import Evidence, judge
from tests.altered_books import alter
from tests.paper_cluster import BANKS, PaperCluster


class Case:
    """A stopped cluster in which alice paid bob twice, and one payment was declined; and what alice wrote down."""

    def __init__(self, folder) -> None:
        cluster = PaperCluster(folder)
        self.paid, self.also_paid = (self._request(cluster.pay(100), 100) for _ in range(2))
        self.declined = self._request(cluster.pay(100_000), 100_000)
        cluster.stop()
        self.paths = cluster.paths
        self.lines: list[Attempt | Look] = [
            attempt(self.paid, UNKNOWN),
            attempt(self.paid, COMMITTED),
            attempt(self.also_paid, COMMITTED),
            attempt(self.declined, DECLINED, "insufficient_funds"),
            attempt(replace(self.paid, amount_minor=101), REFUSED, is_mutated=True),
            Look("own-0", "available in alice@ICICI", 1.0, 800, 800, 800),
        ]
        self.items: list[Item] = []
        self.unfinished: list[str] = []
        self.faults = 0
        self.undone: list[str] = []

    def failed(self) -> dict[str, str]:
        """Judge; return what each check that failed found first."""
        banks = {bank: self.paths[bank] for bank in BANKS}
        said = self.lines, self.items, self.unfinished, self.faults, self.undone
        evidence = Evidence(self.paths["gateway"], banks, *said)
        return {check.name: check.findings[0] for check in judge(evidence) if not check.is_passed}

    @staticmethod
    def _request(payment_id: UUID, amount_minor: int) -> Request:
        return Request("alice", str(payment_id), "alice@ICICI", "bob@HDFC", amount_minor)


def attempt(
    request: Request, outcome: str, detail: str = "", *, client: str = "alice-0", is_mutated: bool = False
):
    return Attempt(client, request, 0.0, 0.1, outcome, detail, is_mutated)


@pytest.fixture
def case(tmp_path) -> Case:
    return Case(tmp_path)


def test_what_is_right_passes_and_each_check_looked_at_something(case):
    banks = {bank: case.paths[bank] for bank in BANKS}
    checks = judge(Evidence(case.paths["gateway"], banks, case.lines, faults=1))
    assert {check.name: check.findings for check in checks if not check.is_passed} == {}
    assert [check.name for check in checks if not check.examined] == []


def test_an_acknowledged_payment_that_is_not_in_the_files_is_found(case):
    lost = replace(case.paid, payment_id=str(uuid4()))
    case.lines.append(attempt(lost, COMMITTED))
    assert (
        f"payment {lost.payment_id} of alice: was told committed; on record is: no decision"
        in case.failed()["told"]
    )


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (DECLINED, {}),
        (COMMITTED, {"amount_minor": 99}),
        (COMMITTED, {"payee": "bob@SBI"}),
    ],
)
def test_a_payment_that_ended_in_another_way_than_was_told_is_found(case, told, field):
    case.lines[1:2] = [
        attempt(replace(case.paid, **field), told, "insufficient_funds" if told == DECLINED else "")
    ]
    assert set(case.failed()) == {"told"}


def test_a_declined_payment_that_was_told_as_committed_is_found(case):
    case.lines[3] = attempt(case.declined, COMMITTED)
    assert set(case.failed()) == {"told"}


def test_money_that_is_missing_is_found(case):
    alter(case.paths["HDFC"], "UPDATE account SET posted = posted - 1 WHERE name = 'bob'")
    assert {"money", "double entry"} <= set(case.failed())
    assert case.failed()["money"].endswith("1 was lost")


def test_money_that_is_missing_in_a_way_that_its_bank_agrees_with_is_found(case):
    alter(case.paths["HDFC"], "DELETE FROM journal WHERE payment_id IS NOT NULL AND sequence % 2 = 0")
    assert "atomicity" in case.failed()


def test_an_account_that_was_below_zero_for_a_moment_is_found(case):
    # What it had at the end is as it was: only the order of the entries is another.
    alter(
        case.paths["ICICI"], "UPDATE journal SET amount_minor = 1001 WHERE outcome = 2 AND debit_account = 'alice'"
    )
    assert "alice@ICICI has -1 after entry" in case.failed()["never overspent"]


def test_money_that_is_still_held_is_found(tmp_path):
    cluster = PaperCluster(tmp_path)
    cluster.pay(100, deaf="ICICI")
    cluster.stop()
    evidence = Evidence(cluster.paths["gateway"], {bank: cluster.paths[bank] for bank in BANKS}, [])
    found = {check.name: check.findings for check in judge(evidence) if not check.is_passed}
    assert found["holds"] == ("still held: 100 of alice at ICICI",)


def test_an_outcome_that_changes_between_two_answers_is_found(case):
    case.lines.append(attempt(case.paid, DECLINED, "insufficient_funds", client="alice-1"))
    assert "was committed  to alice-0, then declined insufficient_funds" in case.failed()["stable"]


def test_a_reason_that_changes_is_found(case):
    case.lines.append(attempt(case.declined, DECLINED, "bank_unavailable"))
    assert set(case.failed()) == {"stable"}


def test_the_first_body_under_an_id_that_is_refused_is_found(case):
    case.lines.append(attempt(case.paid, REFUSED))
    assert "was refused, though its body is the one that was sent first" in case.failed()["stable"]


@pytest.mark.parametrize("outcome", [COMMITTED, DECLINED])
def test_another_body_that_is_not_refused_is_found(case, outcome):
    case.lines[4] = attempt(replace(case.paid, amount_minor=101), outcome, is_mutated=True)
    assert set(case.failed()) == {"bodies"}


def test_a_read_that_does_not_show_what_was_written_is_found(case):
    case.lines.append(Look("own-0", "available in alice@ICICI", 1.0, 900, 800, 800))
    assert case.failed() == {"reads": "own-0: available in alice@ICICI: 900, not 800 to 800"}


def test_a_read_that_shows_less_than_there_must_be_is_found(case):
    case.lines.append(Look("own-0", "payment 5 was committed and is still", 1.0, 0, 1, 1))
    assert set(case.failed()) == {"reads"}


def test_a_client_that_never_learnt_what_another_was_told_is_found(case):
    case.lines += [attempt(case.paid, UNKNOWN, client="alice-1"), attempt(case.paid, COMMITTED)]
    assert set(case.failed()) == {"ended"}


def test_what_an_audit_finds_by_a_name_that_is_new_here_is_found(case, monkeypatch):
    report = Report([Finding("new", "HDFC", "is wrong")], {}, 1, 1, 0, ())
    monkeypatch.setattr("orchestrator.campaign.judge.audit", lambda *_: report)
    assert case.failed() == {"new": "new: HDFC: is wrong"}


def test_a_payment_whose_outcome_nobody_ever_learnt_is_found(case):
    case.lines.append(attempt(replace(case.paid, payment_id=str(uuid4())), UNKNOWN, "GatewayAway"))
    assert set(case.failed()) == {"ended"}


def test_a_campaign_in_which_nobody_was_told_anything_proves_nothing(case):
    case.lines = [attempt(case.paid, UNKNOWN), attempt(case.paid, UNKNOWN)]
    assert case.failed()["ended"].startswith("alice-0: payment")
    for lines in ([], [attempt(case.declined, DECLINED, "insufficient_funds")]):
        case.lines = lines
        assert case.failed() == {"ended": "no client was ever told that it has paid: nothing is proved"}


def test_a_campaign_in_which_nothing_could_be_broken_proves_nothing(case):
    case.faults, case.undone = 2, ["kill HDFC: no supervisor runs", "pause SBI for 1.0 s: was never begun"]
    assert case.failed() == {"broken": "kill HDFC: no supervisor runs"}
    case.faults = 3
    assert case.failed() == {}
    case.faults, case.undone = 0, []
    assert case.failed() == {}


def test_what_did_not_end_in_time_is_found(case):
    case.unfinished.append("in doubt 10 s after all was healed: HDFC: 1")
    assert case.failed() == {"ended": "in doubt 10 s after all was healed: HDFC: 1"}


@pytest.mark.parametrize(
    ("state", "check"),
    [
        (State.COMMITTED, None),
        (State.DECLINED, "told"),
        (State.REFUSED, "told"),
        (State.EXPIRED, "told"),
        (State.UNKNOWN, "ended"),
        (State.NEVER_SENT, "ended"),
    ],
)
def test_an_outbox_must_say_what_happened(case, state, check):
    request = PaymentRequest(case.paid.payment_id, "alice@ICICI", "bob@HDFC", 100, "INR")
    case.lines[0:2] = []
    case.items.append(Item("alice", request, state, "", 0.0))
    assert set(case.failed()) == ({check} if check else set())


@pytest.mark.parametrize("state", [State.COMMITTED, State.DECLINED])
def test_an_outbox_must_not_say_what_nobody_decided(case, state):
    request = PaymentRequest(str(uuid4()), "alice@ICICI", "bob@HDFC", 100, "INR")
    case.items.append(Item("alice", request, state, "", 0.0))
    assert set(case.failed()) == {"told"}
