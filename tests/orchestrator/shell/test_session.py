"""What a user can do, and what becomes of payments while the gateway comes and goes; no terminal, no network."""

import queue
import threading

import pytest

from nodes.client import Balances, GatewayAway, Outbox, OutcomeUnknown, State
from orchestrator.shell.language import parse
from orchestrator.shell.passwords import Passwords
from orchestrator.shell.rendering import render_json, render_text
from orchestrator.shell.session import CannotDo, LoggedIn, NamedOnly, Seen, ShellSession
from tests.orchestrator.fake_gateway import FakeGateway

DEADLINE_S = 10.0


class Desk:
    """A shell at a fake gateway: ``do`` a line; ``told`` is what ended in the background."""

    def __init__(self, path, gateway=None, **passwords):
        self.gateway = gateway or FakeGateway()
        self.outbox = Outbox(path / "outbox.db")
        self.told = queue.Queue()
        self.session = ShellSession(
            self.gateway,
            self.outbox,
            "INR",
            passwords=Passwords(**(passwords or {"at_hand": "alice123"})),
            tell=self.told.put,
        )

    def do(self, line):
        return self.session.perform(parse(line))

    def say(self, line):
        return "\n".join(render_text(self.do(line)))

    def next_told(self):
        return self.told.get(timeout=DEADLINE_S)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.gateway.hold.set()
    desk.session.close()


def test_the_first_design_s_session_goes_as_it_was_drawn(desk):
    assert desk.say("login alice").startswith("Logged in as alice (customer)")
    assert desk.say("balance HDFC").split() == ["alice@HDFC", "₹5,000.00"]
    paid = desk.do('pay bob@HDFC 1000 from ICICI memo "rent"').item
    assert paid.state is State.COMMITTED
    overdraft = desk.do("pay bob@HDFC 100000 from ICICI")
    assert f"failed: insufficient funds.  {overdraft.item.request.payment_id}" in render_text(overdraft)[0]
    head, newest, oldest = desk.say("history").splitlines()
    assert head.split()[:2] == ["TIME", "ID"]
    assert overdraft.item.request.payment_id in newest
    assert "failed: insufficient funds" in newest
    for part in (paid.request.payment_id, "out of ICICI", "bob@HDFC", "₹1,000.00", "paid", "rent"):
        assert part in oldest
    assert desk.say("logout") == "Logged out alice."
    with pytest.raises(CannotDo, match="log in first"):
        desk.do("balance")


def test_a_payment_is_on_disk_before_it_is_sent(desk):
    desk.do("login alice")
    kept = []
    pay = desk.gateway.pay

    def look_then_pay(request):
        kept.append(desk.outbox.find("alice", request.payment_id))
        return pay(request)

    desk.gateway.pay = look_then_pay
    desk.do("pay bob@HDFC 1 from ICICI")
    assert kept[0] is not None


def test_who_has_no_account_is_told_so():
    assert render_text(Seen(Balances((), ()))) == ["No accounts."]
    assert render_text(Seen(Balances((), ("SBI",)))) == ["SBI is away; its balance is not known now."]


def test_a_line_that_is_refused_here_leaves_nothing_in_the_outbox(desk):
    desk.do("login alice")
    for line in ("pay bob@HDFC 0 from ICICI", "pay bob@HDFC 1e3 from ICICI", "pay alice@HDFC 1 from HDFC"):
        with pytest.raises(CannotDo):
            desk.do(line)
    assert desk.outbox.items("alice") == []


def test_while_the_gateway_is_away_payments_are_queued_with_their_ids_and_sent_in_order_when_it_is_back(desk):
    desk.do("login alice")
    desk.gateway.is_away = True
    with pytest.raises(GatewayAway):
        desk.do("balance HDFC")
    queued = [desk.do(f"pay bob@HDFC {amount} from ICICI") for amount in (1, 2, 3)]
    ids = [sent.item.request.payment_id for sent in queued]
    assert f"Queued as {ids[-1]}" in render_text(queued[-1])[0]
    assert "the gateway is away; it will be sent when it is back" in render_text(queued[-1])[0]
    assert desk.session.waiting_count == 3
    desk.gateway.is_away = False
    desk.do("outbox send")
    assert desk.gateway.sent == ids
    assert [item.state for item in desk.outbox.items("alice")] == [State.COMMITTED] * 3
    assert desk.session.waiting_count == 0


def test_a_gateway_that_hangs_at_the_login_is_taken_as_one_that_is_away(desk):
    log_in, desk.gateway.is_away = desk.gateway.log_in, True

    def hang(user, password):
        raise OutcomeUnknown("the gateway did not answer in time")

    desk.gateway.log_in = hang
    assert isinstance(desk.do("login alice"), NamedOnly)
    queued = desk.do("pay bob@HDFC 1 from ICICI")
    assert queued.item.state is State.NEVER_SENT
    desk.gateway.log_in, desk.gateway.is_away = log_in, False
    assert desk.next_told().state is State.COMMITTED


def test_the_courier_finds_by_itself_that_the_gateway_is_back_and_tells(desk):
    desk.do("login alice")
    desk.gateway.is_away = True
    sent = desk.do("pay bob@HDFC 1 from ICICI")
    assert not sent.item.state.is_final
    desk.gateway.is_away = False
    assert desk.next_told().request.payment_id == sent.item.request.payment_id


def test_an_answer_that_does_not_come_is_told_as_unknown_and_asked_for_again_under_the_same_id(desk):
    desk.do("login alice")
    pay, is_lost = desk.gateway.pay, threading.Event()

    def pay_and_lose_the_answer(request):
        result = pay(request)
        if is_lost.is_set():
            return result
        is_lost.set()
        raise OutcomeUnknown("no answer in time")

    desk.gateway.pay = pay_and_lose_the_answer
    sent = desk.do("pay bob@HDFC 1 from ICICI")
    payment_id = sent.item.request.payment_id
    assert render_text(sent)[0].startswith(f"Sent, answer unknown: {payment_id}")
    assert desk.next_told().state is State.COMMITTED
    assert desk.gateway.sent == [payment_id, payment_id]
    assert desk.gateway.balances_minor["bob@HDFC"] == 300_100


def test_what_a_dead_shell_left_is_shown_at_the_next_login_and_sent(tmp_path, desk):
    desk.do("login alice")
    desk.gateway.is_away = True
    left = desk.do("pay bob@HDFC 1 from ICICI").item.request.payment_id
    desk.session.close()
    desk.gateway.is_away = False
    later = Desk(tmp_path, desk.gateway)
    logged_in = later.do("login alice")
    assert [item.request.payment_id for item in logged_in.waiting] == [left]
    assert left in "\n".join(render_text(logged_in))
    assert later.next_told().state is State.COMMITTED
    later.session.close()


def test_a_new_payment_waits_for_its_own_end_although_an_older_one_is_being_sent(tmp_path, desk):
    desk.do("login alice")
    desk.gateway.is_away = True
    desk.do("pay bob@HDFC 1 from ICICI")
    desk.session.close()
    desk.gateway.is_away = False
    later = Desk(tmp_path, desk.gateway)
    later.do("login alice")
    assert later.do("pay bob@HDFC 2 from ICICI").item.state is State.COMMITTED
    later.session.close()


def test_an_interrupted_wait_loses_nothing(desk):
    desk.do("login alice")
    desk.gateway.hold.clear()
    courier = desk.session._courier
    waited = courier._changed.wait

    def interrupt(timeout):
        courier._changed.wait = waited
        raise KeyboardInterrupt

    courier._changed.wait = interrupt
    with pytest.raises(KeyboardInterrupt):
        desk.do("pay bob@HDFC 1 from ICICI")
    desk.gateway.hold.set()
    assert desk.next_told().state is State.COMMITTED


def test_a_login_that_is_over_is_renewed_when_the_password_is_at_hand(desk):
    desk.do("login alice")
    desk.gateway.expire()
    assert desk.say("balance HDFC").endswith("₹5,000.00")
    desk.gateway.expire()
    assert desk.do("pay bob@HDFC 1 from ICICI").item.state is State.COMMITTED
    assert desk.gateway.logins == 3


def test_a_login_that_is_over_is_asked_for_when_somebody_types(tmp_path):
    asked = []
    desk = Desk(tmp_path, ask=lambda user: asked.append(user) or f"{user}123")
    desk.do("login alice")
    desk.gateway.expire()
    desk.do("balance HDFC")
    desk.gateway.expire()
    assert desk.do("pay bob@HDFC 1 from ICICI").item.state is State.COMMITTED
    assert asked == ["alice"] * 3
    desk.session.close()


def test_a_user_who_cannot_log_in_now_may_queue_and_is_logged_in_when_the_gateway_is_back(desk):
    desk.gateway.is_away = True
    assert desk.do("login alice") == NamedOnly("alice")
    sent = desk.do("pay bob@HDFC 1 from ICICI")
    assert sent.item.state is State.NEVER_SENT
    assert desk.gateway.sent == []
    desk.gateway.is_away = False
    assert desk.next_told().state is State.COMMITTED
    assert desk.session.is_logged_in


def test_what_was_never_sent_can_be_cancelled(desk):
    desk.gateway.is_away = True
    desk.do("login alice")
    payment_id = desk.do("pay bob@HDFC 1 from ICICI").item.request.payment_id
    assert desk.do(f"outbox cancel {payment_id}").item.state is State.CANCELLED
    assert desk.session.waiting_count == 0


def test_a_wrong_password_is_not_tried_again_by_itself(tmp_path):
    desk = Desk(tmp_path, ask=lambda _: "wrong")
    desk.gateway.is_away = True
    desk.do("login alice")
    desk.gateway.is_away = False
    sent = desk.do("pay bob@HDFC 1 from ICICI")
    assert sent.item.state is State.NEVER_SENT
    assert not desk.session.is_logged_in
    assert desk.gateway.sent == []
    desk.session.close()


def test_one_shell_serves_one_user_at_a_time(desk):
    assert isinstance(desk.do("login alice"), LoggedIn)
    with pytest.raises(CannotDo, match="logout"):
        desk.do("login bob")


def test_json_has_stable_names_minor_units_and_utc(desk):
    desk.do("login alice")
    fields = render_json(desk.do("pay bob@HDFC 12.50 from ICICI memo lunch"))["payment"]
    assert (fields["state"], fields["amount_minor"], fields["memo"]) == ("committed", 1250, "lunch")
    [listed] = render_json(desk.do("history"))["payments"]
    assert listed["payment_id"] == fields["payment_id"]
    assert listed["decided_at"].endswith("Z")


def test_new_payments_are_watched_each_once(desk, monkeypatch):
    monkeypatch.setattr("orchestrator.shell.session.WATCH_EVERY_S", 0.0)
    desk.do("login alice")
    desk.do("pay bob@HDFC 1 from ICICI")
    watching = desk.session.watch()
    assert next(watching).payments == ()
    new = desk.do("pay bob@HDFC 2 from ICICI").item.request.payment_id
    assert [view.payment_id for view in next(watching).payments] == [new]
    assert next(watching).payments == ()
