"""Users, token keys and accounts that change while the nodes run."""

import json
from contextlib import contextmanager

import grpc
import pytest
from interbank.v1 import payment_pb2 as pb

from nodes.runtime.passwords import hash_password
from nodes.runtime.token_keys import RetiredKey, find_retired, load_token_key, write_retired
from tests.authority import make_token_key, put_in_place
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster
CODE = grpc.StatusCode
FAR_OFF = 2**35


@contextmanager
def changed(nodes, name, **fields):
    """Let a user be another for as long as this lasts; removed if there are no fields."""
    path = nodes.folder / "users.json"
    before = path.read_bytes()
    users = [user for user in json.loads(before)["users"] if user["name"] != name or fields]
    for user in users:
        if user["name"] == name:
            user.update(fields)
    put_in_place(path, json.dumps({"users": users}).encode())
    try:
        yield
    finally:
        put_in_place(path, before)


def is_logged_in(caller):
    try:
        caller.balance("ICICI")
    except grpc.RpcError as error:
        if error.code() is not CODE.UNAUTHENTICATED:
            raise
        return False
    return True


@pytest.mark.parametrize(
    "fields",
    [{"disabled": True}, {"role": "auditor"}, {"password_hash": hash_password("another12")}, {}],
    ids=["disabled", "another role", "another password", "removed"],
)
def test_a_user_who_is_changed_has_no_login_from_then_on_and_others_keep_theirs(nodes, fields):
    with nodes.client("alice") as alice, nodes.client("bob") as bob:
        with changed(nodes, "alice", **fields):
            wait_until(lambda: not is_logged_in(alice), "alice is out")
            assert is_logged_in(bob)
        # The same users as before: what was given before holds again, there is no list of it.
        wait_until(lambda: is_logged_in(alice), "alice is as she was")


def test_a_mistake_in_the_users_file_changes_nothing_and_is_told_with_its_line(nodes):
    path = nodes.folder / "users.json"
    before = path.read_bytes()
    with nodes.client("alice") as alice:
        put_in_place(path, b'{"users": [\n  {"name": "alice"}\n]}')
        wait_until(lambda: bool(nodes.status("gateway").warnings), "a warning")
        [warning] = nodes.status("gateway").warnings
        assert "users.json:2: users[0].role: is missing" in warning
        assert is_logged_in(alice)
        put_in_place(path, before)
        wait_until(lambda: not nodes.status("gateway").warnings, "no warning")


def test_token_keys_roll_with_an_overlap_and_a_key_past_its_time_is_refused(nodes):
    old_key = load_token_key(nodes.token_key).public_key()
    old_name = nodes.status("gateway").certificate.token_key
    with nodes.client("alice") as before:
        put_in_place(find_retired(nodes.token_key), write_retired([RetiredKey(old_key, FAR_OFF)]))
        make_token_key(nodes.token_key)
        wait_until(lambda: nodes.status("gateway").certificate.token_key != old_name, "another key signs")
        with nodes.client("alice") as after:
            assert is_logged_in(before)
            assert is_logged_in(after)
            put_in_place(find_retired(nodes.token_key), write_retired([RetiredKey(old_key, 1)]))
            wait_until(lambda: not is_logged_in(before), "the old key is past its time")
            assert is_logged_in(after)


def test_an_account_that_is_new_in_a_banks_file_is_opened_while_it_runs_and_the_others_stay(nodes):
    path = nodes.folder / "HDFC.accounts.json"
    content = json.loads(path.read_text())
    content["accounts"] |= {"charlie": 77_000, "bob": 1}
    with nodes.client("bob") as bob, nodes.client("charlie") as charlie:
        before = bob.balance("HDFC")
        put_in_place(path, json.dumps(content).encode())
        wait_until(lambda: nodes.status("HDFC").bank.customers == 3, "the account")
        assert bob.balance("HDFC") == before
        assert charlie.balance("HDFC").posted_minor == 77_000
        assert charlie.pay("bob@HDFC", 1_000, payer="charlie@HDFC").outcome == pb.OUTCOME_COMMITTED
    assert not [fault for bank in nodes.totals().banks for fault in bank.faults]
