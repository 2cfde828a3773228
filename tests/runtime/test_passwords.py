import pytest

from nodes.core.users import parse_users
from nodes.runtime.passwords import hash_password, is_password, make_decoy, verify_password


def test_a_password_is_right_and_any_other_is_not() -> None:
    hashed = hash_password("alice123")
    assert verify_password("alice123", hashed)
    assert not verify_password("alice124", hashed)
    assert not verify_password("", hashed)


def test_one_password_hashed_twice_gives_two_hashes() -> None:
    assert hash_password("alice123") != hash_password("alice123")


def test_a_hash_is_strong_enough_for_the_users_file() -> None:
    row = f'{{"name": "zoe", "role": "customer", "password_hash": "{hash_password("x")}"}}'
    assert parse_users(f'{{"users": [{row}]}}')[0].name == "zoe"


def test_an_accent_is_the_same_however_it_was_typed() -> None:
    assert verify_password("cafe\u0301", hash_password("caf\u00e9"))


@pytest.mark.parametrize("text", ["", "a\0b", "x" * 129])
def test_what_cannot_be_a_password_is_not_hashed(text: str) -> None:
    assert not is_password(text)
    with pytest.raises(ValueError, match="1 to 128 characters"):
        hash_password(text)


def test_a_broken_hash_is_matched_by_nothing() -> None:
    assert not verify_password("alice123", "alice123")
    assert not verify_password("alice123", hash_password("alice123")[:-2])


def test_a_decoy_costs_the_same_and_is_the_hash_of_nothing():
    hashed = hash_password("alice123")
    decoy = make_decoy(hashed)
    assert decoy.split("$")[:4] == hashed.split("$")[:4]
    assert list(map(len, decoy.split("$"))) == list(map(len, hashed.split("$")))
    assert decoy.split("$")[4:] != hashed.split("$")[4:]
    assert not verify_password("alice123", decoy)
