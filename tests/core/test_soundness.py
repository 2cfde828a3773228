"""What may not come from a gateway or a bank, column by column."""

import pytest

from nodes.core import soundness
from nodes.core.messages import Decide, Prepare
from nodes.core.soundness import EPOCH_MAX, Unsound, demand_sound_decides, demand_sound_keys, demand_sound_prepares

ID = bytes(range(16))
GOOD = Prepare(ID, "alice", 1, "ICICI", "bob", "HDFC", 100, "INR")


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        GOOD._replace(payer_bank="SBI", payee_bank="ICICI"),
        GOOD._replace(payee_bank="ICICI"),
        GOOD._replace(payee="alice"),
        GOOD._replace(amount_minor=2**63 - 1, epoch=EPOCH_MAX),
    ],
)
def test_what_a_gateway_says_is_taken(good):
    demand_sound_prepares("ICICI", [GOOD, good])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"payment_id": b""}, "payment_id"),
        ({"payment_id": bytes(17)}, "payment_id"),
        ({"payer": ""}, "payer"),
        ({"payer": "@paid-in/INR"}, "payer"),
        ({"payee": "Bob"}, "payee"),
        ({"payee": "b" * 33}, "payee"),
        ({"epoch": 0}, "epoch"),
        ({"epoch": EPOCH_MAX + 1}, "epoch"),
        ({"payer_bank": "SBI"}, "payer_bank, payee_bank: neither is ICICI"),
        ({"payee_bank": ""}, "payer_bank, payee_bank"),
        ({"payee_bank": "../x"}, "payer_bank, payee_bank"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -5}, "amount_minor"),
        ({"currency": "inr"}, "currency"),
        ({"payee": "alice", "payee_bank": "ICICI"}, "payee"),
    ],
)
def test_one_unsound_prepare_makes_the_message_so_however_often_it_comes(wrong, field):
    for _ in range(2):
        with pytest.raises(Unsound, match=f"^{field}"):
            demand_sound_prepares("ICICI", [GOOD, GOOD._replace(**wrong), GOOD])


@pytest.mark.parametrize(
    ("wrong", "field"), [({"payment_id": b"x"}, "payment_id"), ({"epoch": 2**64 - 1}, "epoch")]
)
def test_decisions_and_keys_are_held_to_the_same(wrong, field):
    good = Decide(ID, "alice", 7, commit=True)
    demand_sound_decides([good])
    with pytest.raises(Unsound, match=f"^{field}"):
        demand_sound_decides([good, good._replace(**wrong)])
    with pytest.raises(Unsound, match=f"^{field}"):
        demand_sound_keys([good._replace(**wrong)[:3]])


def test_an_empty_message_is_sound():
    demand_sound_prepares("ICICI", [])
    demand_sound_decides([])


def test_names_that_were_found_sound_are_forgotten_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(soundness, "_REMEMBERED_MAX", 3)
    for number in range(20):
        demand_sound_keys([(ID, f"user{number}", 1)])
    assert len(soundness._sound_users) <= 4
