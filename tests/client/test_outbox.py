"""What is saved is there after the process died, in order, until its end is known."""

import os
import signal
import subprocess
import sys
import threading

import apsw
import pytest

from nodes.client import CannotCancel, Outbox, PaymentRequest, State, new_payment_id
from nodes.client import outbox as outbox_module
from nodes.runtime.crash_points import Order, give_order, obey
from nodes.runtime.database import DatabaseUnusable


def request(payment_id=""):
    return PaymentRequest(payment_id or new_payment_id(), "alice@ICICI", "bob@HDFC", 100, "INR", "rent")


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "state" / "outbox.db")


def test_an_outbox_that_nobody_wrote_to_is_empty_and_makes_no_file(outbox):
    assert outbox.waiting("alice") == outbox.items("alice") == outbox.all_items() == []
    assert not outbox.path.exists()


def test_what_is_saved_comes_back_whole_and_in_the_order_of_saving(outbox):
    saved = [outbox.save("alice", request()) for _ in range(3)]
    of_bob = outbox.save("bob", request())
    assert outbox.waiting("alice") == saved
    assert outbox.waiting("bob") == [of_bob]
    assert outbox.all_items() == [*saved, of_bob]


def test_an_item_goes_from_never_sent_over_unknown_to_its_end_and_no_further(outbox):
    item = outbox.save("alice", request())
    assert outbox.find("alice", item.request.payment_id).state is State.NEVER_SENT
    outbox.mark_sent(item)
    assert outbox.find("alice", item.request.payment_id).state is State.UNKNOWN
    outbox.settle(item, State.COMMITTED, "")
    outbox.settle(item, State.DECLINED, "insufficient_funds")
    assert outbox.find("alice", item.request.payment_id).state is State.COMMITTED
    assert outbox.waiting("alice") == []


def test_the_last_send_without_an_answer_counts_for_what_may_yet_arrive(tmp_path):
    now = [0.0]
    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: now[0])
    item = outbox.save("alice", request())
    for at in (0.0, 2.0 * outbox_module.UNDER_WAY_S_MAX):
        now[0] = at
        outbox.mark_sent(item)
    now[0] += 1.0
    earlier = outbox.mark_sent(item)
    assert earlier.sent_at == 2.0 * outbox_module.UNDER_WAY_S_MAX
    assert outbox.may_yet_arrive(earlier)


def test_two_users_items_under_one_id_go_their_own_ways(outbox):
    of_alice = outbox.save("alice", request())
    payment_id = of_alice.request.payment_id
    of_bob = outbox.save("bob", request(payment_id))
    outbox.mark_sent(of_bob)
    assert outbox.find("alice", payment_id).state is State.NEVER_SENT
    outbox.settle(of_alice, State.DECLINED, "insufficient_funds")
    assert outbox.find("bob", payment_id).state is State.UNKNOWN


def test_an_item_that_was_cancelled_is_not_marked_as_sent(outbox):
    item = outbox.save("alice", request())
    outbox.cancel("alice", item.request.payment_id)
    assert outbox.mark_sent(item).state is State.CANCELLED
    assert outbox.find("alice", item.request.payment_id).state is State.CANCELLED


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.UNKNOWN, "was sent; ask for its outcome"),
        (State.COMMITTED, "has ended already"),
        (State.CANCELLED, "has ended already"),
    ],
)
def test_only_what_was_never_sent_can_be_cancelled(outbox, state, said):
    item = outbox.save("alice", request())
    if state is State.CANCELLED:
        assert outbox.cancel("alice", item.request.payment_id).state is State.CANCELLED
    else:
        outbox.settle(item, state, "")
    with pytest.raises(CannotCancel, match=said):
        outbox.cancel("alice", item.request.payment_id)
    assert outbox.find("alice", item.request.payment_id).state is state


def test_another_users_item_cannot_be_cancelled(outbox):
    item = outbox.save("alice", request())
    with pytest.raises(CannotCancel, match="no payment"):
        outbox.cancel("bob", item.request.payment_id)
    assert outbox.waiting("alice") == [item]


def test_an_item_that_was_never_sent_expires_after_a_day_and_one_that_was_sent_never_does(outbox):
    kept, sent = outbox.save("alice", request()), outbox.save("alice", request())
    outbox.mark_sent(sent)
    a_day_later = kept.saved_at + outbox_module.EXPIRES_AFTER_S + 1
    later = Outbox(outbox.path, clock=lambda: a_day_later)
    assert [later.is_expired(item) for item in later.waiting("alice")] == [True, False]


def test_what_was_saved_survives_kill_9(outbox):
    program = (
        "import sys, time; from pathlib import Path; from nodes.client import *;"
        "request = PaymentRequest(sys.argv[2], 'alice@ICICI', 'bob@HDFC', 1, 'INR');"
        "Outbox(Path(sys.argv[1])).save('alice', request);"
        "print('saved', flush=True); time.sleep(60)"
    )
    payment_id = new_payment_id()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(outbox.path), payment_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as saving:
        assert saving.stdout.readline() == b"saved\n"
        saving.send_signal(signal.SIGKILL)
    assert [item.request.payment_id for item in outbox.waiting("alice")] == [payment_id]


def test_two_who_share_an_outbox_wait_for_each_other(outbox):
    def save_many():
        for _ in range(20):
            Outbox(outbox.path).save("alice", request())

    threads = [threading.Thread(target=save_many) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outbox.waiting("alice")) == 60


def test_a_file_that_is_no_outbox_is_named(outbox):
    outbox.path.parent.mkdir()
    outbox.path.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(DatabaseUnusable, match=r"outbox\.db is not a database"):
        outbox.items("alice")


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_an_outbox_that_was_cut_off_is_told_and_shows_no_part_of_itself(outbox, left):
    for _ in range(200):
        outbox.save("alice", request())
    size = outbox.path.stat().st_size
    os.truncate(outbox.path, int(size * left))
    with pytest.raises(DatabaseUnusable, match=r"outbox\.db"):
        outbox.waiting("alice")
    with pytest.raises(DatabaseUnusable, match=r"outbox\.db"):
        outbox.items("alice", 1000)


@pytest.fixture
def strike(tmp_path):
    """Have the outbox's disk fail at a crash point, once."""
    path = tmp_path / "shell.order"
    obey(path)

    def strike(point, action):
        give_order(path, Order(number=point, point=point, action=action, hit=1, until_s=2**40))

    yield strike
    obey(None)


def test_a_payment_is_not_saved_on_a_full_disk_and_that_is_said(outbox, strike):
    strike("client.outbox.unsaved", "full")
    with pytest.raises(DatabaseUnusable, match=r"the outbox .* fails: database or disk is full"):
        outbox.save("alice", request())
    assert outbox.waiting("alice") == []


def test_a_disk_that_fails_after_the_commit_leaves_the_payment_saved(outbox, strike):
    strike("client.outbox.saved", "commit-then-error")
    with pytest.raises(DatabaseUnusable, match="look at what is in it before you pay again"):
        outbox.save("alice", request())
    assert [item.state for item in outbox.waiting("alice")] == [State.NEVER_SENT]


def test_an_item_whose_end_cannot_be_noted_is_as_it_was(outbox, strike):
    item = outbox.save("alice", request())
    outbox.mark_sent(item)
    strike("client.outbox.unchanged", "full")
    with pytest.raises(DatabaseUnusable, match="disk is full"):
        outbox.settle(item, State.COMMITTED, "")
    assert outbox.find("alice", item.request.payment_id).state is State.UNKNOWN


def test_an_outbox_of_the_first_version_is_taken_over(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    kept, sent = (outbox.save("alice", request()) for _ in range(2))
    outbox.mark_sent(sent)
    connection = apsw.Connection(str(outbox.path))
    connection.execute("ALTER TABLE item DROP COLUMN sent_at; PRAGMA user_version = 1")
    connection.close()
    assert [item.state for item in outbox.waiting("alice")] == [State.NEVER_SENT, State.UNKNOWN]
    assert not outbox.may_yet_arrive(outbox.mark_sent(kept))
    assert outbox.may_yet_arrive(outbox.mark_sent(sent))
