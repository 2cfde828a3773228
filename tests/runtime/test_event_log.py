"""The log: one line an event whatever a text holds, nothing sensitive, nothing lost, bounded."""

import json

from interbank.v1 import bank_pb2, payment_pb2

from nodes.runtime.event_log import count_items, describe, open_event_log


def test_an_event_is_one_line_of_json_whatever_it_says(tmp_path):
    log = open_event_log(tmp_path / "x.log", "HDFC")
    log.info("request", memo='a\nb"c\x1b[31m\u2028', payment_id="p")
    [line] = (tmp_path / "x.log").read_bytes().splitlines()
    assert json.loads(line)["memo"] == 'a\nb"c\x1b[31m\u2028'
    assert b"\x1b" not in line
    assert json.loads(line)["ts"].endswith("Z")


def test_lines_below_the_level_are_not_written(tmp_path):
    log = open_event_log(tmp_path / "x.log", "HDFC")
    log.debug("quiet")
    assert (tmp_path / "x.log").read_bytes() == b""


def test_sensitive_fields_are_starred_and_long_ones_counted():
    request = payment_pb2.LoginRequest(user="alice", password="hunter2")
    assert describe(request) == {"user": "alice", "password": "***"}
    inquiry = bank_pb2.TransactResponse(in_doubt=[bank_pb2.TransactionKey()] * 3, done_number=2)
    assert describe(inquiry) == {"done_number": 2, "in_doubt": 3}
    assert count_items(inquiry) == {"in_doubt": 3}


def test_a_message_of_columns_counts_as_its_rows():
    decides = bank_pb2.Decides(payment_ids=[b"x"] * 3, payers=["alice"] * 3)
    batch = bank_pb2.TransactRequest(prepares=bank_pb2.Prepares(), decides=decides, epoch=2)
    assert count_items(batch) == {"decides": 3}


def test_sensitive_fields_inside_other_messages_are_starred():
    response = payment_pb2.GetPaymentResponse(payment=payment_pb2.Payment(memo="private", amount_minor=5))
    assert describe(response) == {"payment": {"memo": "***", "amount_minor": 5}}


def test_payment_ids_are_shown_as_uuids_and_enums_by_name():
    payment_id = bytes(range(16))
    assert describe(bank_pb2.GetTransactionsRequest(payment_id=payment_id)) == {
        "payment_id": "00010203-0405-0607-0809-0a0b0c0d0e0f"
    }
    known = bank_pb2.BankTransaction(state=bank_pb2.TRANSACTION_STATE_PREPARED)
    assert describe(known) == {"state": "TRANSACTION_STATE_PREPARED"}


def test_what_somebody_sends_cannot_fill_the_log():
    shown = describe(payment_pb2.LoginRequest(user="x" * 5_000_000))
    assert len(shown["user"]) < 300
    shown = describe(bank_pb2.GetTransactionsRequest(payment_id=b"x" * 5_000_000))
    assert len(shown["payment_id"]) < 300
