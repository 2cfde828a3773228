"""A gateway and three banks as real processes: payments, history, balances, roles."""

import grpc
import pytest
from interbank.v1 import payment_pb2 as pb

pytestmark = pytest.mark.cluster


def test_a_payment_moves_money_between_two_banks_and_both_see_it(nodes):
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        before = alice.balance("ICICI").posted_minor, bob.balance("HDFC").posted_minor
        paid = alice.pay("bob@HDFC", 100_000)
        assert paid.outcome == pb.OUTCOME_COMMITTED
        assert alice.balance("ICICI").posted_minor == before[0] - 100_000
        newest = alice.history().payments[0], bob.history().payments[0]
        assert [payment.payment_id for payment in newest] == [paid.payment_id] * 2
        assert [payment.direction for payment in newest] == [pb.DIRECTION_OUTGOING, pb.DIRECTION_INCOMING]


def test_an_overdraft_is_declined_and_only_its_payer_sees_it(nodes):
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        before = alice.balance("ICICI")
        declined = alice.pay("bob@HDFC", 99_999_999)
        assert declined.outcome == pb.OUTCOME_DECLINED
        assert declined.reason == pb.DECLINE_REASON_INSUFFICIENT_FUNDS
        assert alice.balance("ICICI") == before
        assert alice.history().payments[0].payment_id == declined.payment_id
        assert declined.payment_id not in [payment.payment_id for payment in bob.history().payments]


def test_the_same_id_again_is_a_replay_and_another_body_is_refused(nodes):
    with nodes.client("alice") as alice:
        paid = alice.pay("bob@HDFC", 500)
        again = alice.pay("bob@HDFC", 500, payment_id=paid.payment_id)
        assert (again.outcome, again.replayed) == (pb.OUTCOME_COMMITTED, True)
        with pytest.raises(grpc.RpcError) as refused:
            alice.pay("bob@HDFC", 501, payment_id=paid.payment_id)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "amount_minor" in refused.value.details()


def test_a_user_has_balances_at_all_banks_of_theirs(nodes):
    with nodes.client("charlie") as charlie:
        answer = charlie.stub.GetBalance(pb.GetBalanceRequest(), timeout=5, metadata=charlie.metadata)
        assert [balance.account for balance in answer.balances] == ["charlie@ICICI", "charlie@SBI"]
        with pytest.raises(grpc.RpcError) as missing:
            charlie.balance("HDFC")
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def test_many_payments_go_on_one_stream_and_a_bad_one_fails_alone(nodes):
    with nodes.client("charlie") as charlie:
        good = [charlie.request("bob@HDFC", 10) for _ in range(200)]
        bad = [charlie.request("bob@HDFC", -1), charlie.request("bob@HDFC", 5, payer="alice@ICICI")]
        requests = iter([pb.PayManyRequest(payments=good[:100]), pb.PayManyRequest(payments=[*good[100:], *bad])])
        results = {
            result.payment_id: result
            for response in charlie.stub.PayMany(requests, timeout=20, metadata=charlie.metadata)
            for result in response.results
        }
        assert all(results[request.payment_id].outcome == pb.OUTCOME_COMMITTED for request in good)
        codes = [results[request.payment_id].refused.code for request in bad]
        assert codes == [grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.PERMISSION_DENIED.value[0]]


@pytest.mark.parametrize(
    ("payer", "code"),
    [("bob@HDFC", grpc.StatusCode.PERMISSION_DENIED), ("alice@NOWHERE", grpc.StatusCode.NOT_FOUND)],
)
def test_nobody_pays_from_anothers_account_or_an_unknown_bank(nodes, payer, code):
    with nodes.client("alice") as alice:
        with pytest.raises(grpc.RpcError) as refused:
            alice.pay("charlie@SBI", 100, payer=payer)
        assert refused.value.code() is code


def test_an_unknown_payee_is_a_recorded_decline(nodes):
    with nodes.client("alice") as alice:
        declined = alice.pay("nobody@HDFC", 100)
        assert declined.reason == pb.DECLINE_REASON_PAYEE_ACCOUNT_NOT_FOUND
        again = alice.pay("nobody@HDFC", 100, payment_id=declined.payment_id)
        assert again.replayed


def test_a_payment_of_another_user_is_not_there(nodes):
    with nodes.client("alice") as alice, nodes.client("charlie") as charlie:
        paid = alice.pay("bob@HDFC", 100)
        request = pb.GetPaymentRequest(payment_id=paid.payment_id)
        with pytest.raises(grpc.RpcError) as missing:
            charlie.stub.GetPayment(request, timeout=5, metadata=charlie.metadata)
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def test_of_two_payments_under_one_id_each_user_sees_their_own_first(nodes):
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        paid = alice.pay("bob@HDFC", 100)
        bob.pay("alice@ICICI", 70, payer="bob@HDFC", payment_id=paid.payment_id)
        request = pb.GetPaymentRequest(payment_id=paid.payment_id)
        for caller, amount_minor in ((alice, 100), (bob, 70)):
            shown = caller.stub.GetPayment(request, timeout=5, metadata=caller.metadata).payment
            assert (shown.direction, shown.amount_minor) == (pb.DIRECTION_OUTGOING, amount_minor)


def test_roles_decide_who_may_pay_and_who_may_look(nodes):
    with nodes.client("dave") as dave, nodes.client("eve") as eve:
        with pytest.raises(grpc.RpcError) as refused:
            dave.pay("bob@HDFC", 100)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == "Pay needs the role customer; dave has the role operator"
        request = pb.ListPaymentsRequest(user="alice")
        assert eve.stub.ListPayments(request, timeout=5, metadata=eve.metadata).payments


def test_after_logout_the_token_is_worth_nothing(nodes):
    with nodes.client("alice") as alice:
        alice.stub.Logout(pb.LogoutRequest(), timeout=5, metadata=alice.metadata)
        with pytest.raises(grpc.RpcError) as refused:
            alice.pay("bob@HDFC", 100)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_history_comes_in_pages(nodes):
    with nodes.client("alice") as alice:
        for _ in range(5):
            alice.pay("bob@HDFC", 1)
        first = alice.history(page_size=3)
        second = alice.history(page_size=3, page_token=first.next_page_token)
        ids = [payment.payment_id for payment in (*first.payments, *second.payments)]
        assert len(set(ids)) == 6
        with pytest.raises(grpc.RpcError) as refused:
            alice.history(page_token="-1")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_no_money_is_made_or_lost(nodes):
    totals = nodes.totals()
    assert not totals.unavailable_banks
    for bank in totals.banks:
        assert not bank.faults
    owned = sum(total.customers_minor for bank in totals.banks for total in bank.totals)
    assert owned == sum(total.paid_in_minor for bank in totals.banks for total in bank.totals) == 3_800_000


def test_every_payment_has_a_line_in_the_transactions_file_and_no_memo(nodes):
    with nodes.client("alice") as alice:
        request = alice.request("bob@HDFC", 7)
        request.memo = "for nobody else"
        alice.stub.Pay(request, timeout=5, metadata=alice.metadata)
    lines = (nodes.folder / "transactions.json").read_text()
    assert request.payment_id in lines.splitlines()[-1]
    for file in nodes.folder.glob("*.log"):
        assert "for nobody else" not in file.read_text()
        assert "alice123" not in file.read_text()


def test_a_node_tells_how_often_it_made_something_durable(nodes):
    before = {name: nodes.status(name).commits for name in ("gateway", "ICICI", "HDFC")}
    with nodes.client("alice") as alice:
        assert alice.pay("bob@HDFC", 100).outcome == pb.OUTCOME_COMMITTED
    assert nodes.status("gateway").commits == before["gateway"] + 1  # the decision
    for bank in ("ICICI", "HDFC"):
        assert nodes.status(bank).commits > before[bank]  # the vote, at least
