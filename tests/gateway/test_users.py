import json
from pathlib import Path
from typing import Any

import pytest

from nodes.core.users import Role, UsersMistaken, parse_users
from nodes.gateway.users import UsersUnusable, load_users
from nodes.runtime.passwords import verify_password

GIVEN = Path(__file__).parents[2] / "users.json"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$wV9m2hG5t8z0MFeuJRJ9jQ$8KJA8D0n+nCcOBOeNjxd1ib1X7d+fii+tOVuEsCnBoU"
ALICE = {"name": "alice", "role": "customer", "password_hash": HASH, "accounts": {"HDFC": "5,000.00"}}
BOB = {"name": "bob", "role": "customer", "password_hash": HASH}


def write(*rows: Any) -> str:
    return json.dumps({"users": rows}, indent=2)


def mistakes(text: str, currency: str | None = "INR") -> list[str]:
    with pytest.raises(UsersMistaken) as caught:
        parse_users(text, currency)
    return [str(mistake) for mistake in caught.value.mistakes]


# -- the file that is given ---------------------------------------------------


def test_a_file_that_everybody_can_change_is_refused(tmp_path):
    path = tmp_path / "users.json"
    path.write_text('{"users": []}')
    assert load_users(path) == {}
    path.chmod(0o646)
    with pytest.raises(UsersUnusable, match="can be changed by everybody: chmod o-w"):
        load_users(path)


def test_the_given_file_has_the_five_users_with_their_opening_balances() -> None:
    users = {user.name: user for user in parse_users(GIVEN.read_text(), "INR")}
    assert {name: (user.role, dict(user.accounts)) for name, user in users.items()} == {
        "alice": (Role.CUSTOMER, {"HDFC": 500_000, "ICICI": 1_000_000, "SBI": 250_000}),
        "bob": (Role.CUSTOMER, {"HDFC": 300_000, "ICICI": 400_000}),
        "charlie": (Role.CUSTOMER, {"ICICI": 750_000, "SBI": 600_000}),
        "dave": (Role.OPERATOR, {}),
        "eve": (Role.AUDITOR, {}),
    }


@pytest.mark.parametrize("name", ["alice", "bob", "charlie", "dave", "eve"])
def test_the_given_users_have_the_demo_passwords(name: str) -> None:
    assert verify_password(f"{name}123", load_users(GIVEN)[name].password_hash)


def test_a_password_hash_is_not_shown_with_its_user() -> None:
    assert "argon2" not in repr(load_users(GIVEN)["alice"])


# -- what is wrong, where, and what to do -------------------------------------


def test_every_mistake_is_told_with_its_line_and_path() -> None:
    assert mistakes(write(ALICE | {"role": "boss"}, BOB | {"name": "Bob"})) == [
        '5: users[0].role: must be customer, operator or auditor, not "boss"',
        '12: users[1].name: must be 1 to 32 of a-z, 0-9, _ and -, a letter first, not "Bob"',
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../x"}, "users[0].name: must be 1 to 32 of"),
        ({"name": ""}, "users[0].name: must be 1 to 32 of"),
        ({"name": "x" * 33}, "users[0].name: must be 1 to 32 of"),
        ({"name": "аlice"}, "users[0].name: must be 1 to 32 of"),  # a Cyrillic letter
        ({"name": None}, "users[0].name: must be 1 to 32 of"),
        ({"role": "Customer"}, "users[0].role: must be customer, operator or auditor"),
        ({"role": 1}, "users[0].role: must be customer, operator or auditor"),
        ({"role": ["customer"]}, "users[0].role: must be customer, operator or auditor, not a list"),
        ({"paswword_hash": "x"}, "users[0].paswword_hash: unknown key; known here: name, role,"),
        ({"a b": "x"}, 'users[0]["a b"]: unknown key'),
        ({"accounts": []}, "users[0].accounts: must be an object like"),
        ({"accounts": None}, "users[0].accounts: must be an object like"),
        ({"accounts": {"hdfc": "1"}}, "users[0].accounts.hdfc: is no name of a bank, which is 2 to 16 of A-Z"),
        ({"accounts": {"HDFC": 5000}}, "users[0].accounts.HDFC: must be an amount in quotes"),
        ({"accounts": {"HDFC": "-1"}}, "users[0].accounts.HDFC: '-1' is not an amount"),
        ({"accounts": {"HDFC": "1.005"}}, "users[0].accounts.HDFC: '1.005' has more than the 2 decimals of INR"),
        ({"accounts": {"HDFC": "9" * 18}}, "is more than the largest amount"),
        ({"accounts": {"HDFC": "1" + " " * 50 + "x"}}, "users[0].accounts.HDFC: must be an amount in quotes"),
    ],
)
def test_a_wrong_field_of_a_user_is_refused(change: dict[str, Any], said: str) -> None:
    [mistake] = mistakes(write(ALICE | change))
    assert said in mistake
    assert "\n" not in mistake


@pytest.mark.parametrize("field", ["name", "role", "password_hash"])
def test_a_missing_field_is_named_with_the_line_of_its_user(field: str) -> None:
    row = {key: value for key, value in ALICE.items() if key != field}
    assert mistakes(write(row)) == [f"3: users[0].{field}: is missing"]


@pytest.mark.parametrize(
    "bad",
    [
        "alice123",
        "",
        HASH.replace("argon2id", "argon2i"),
        HASH.replace("$v=19", "$v=16"),
        HASH.replace("m=19456,t=2", "t=2,m=19456"),
        HASH.replace("m=19456", "m=019456"),
        HASH[:-1],
        HASH + "AA",
        HASH + "\n",
        HASH.replace("jQ$", "jR$"),  # bits beyond the last byte
        "$2b$12$abcdefghijklmnopqrstuuJ",
        None,
        7,
    ],
)
def test_what_is_no_argon2id_hash_is_refused_and_not_repeated(bad: Any) -> None:
    [mistake] = mistakes(write(ALICE | {"password_hash": bad}))
    assert mistake.endswith(
        "users[0].password_hash: must be an argon2id hash like $argon2id$v=19$m=...; "
        "make one with `cluster user hash-password`"
    )


@pytest.mark.parametrize(
    "weak",
    [
        HASH.replace("m=19456", "m=19455"),
        HASH.replace("t=2", "t=1"),
        HASH.replace("wV9m2hG5t8z0MFeuJRJ9jQ", "wV9m2hG5t8z0MFeuJRJ9"),
        HASH[: HASH.rindex("$")] + "$8KJA8D0n+nCcOBOe",
    ],
)
def test_a_hash_weaker_than_the_floor_is_refused(weak: str) -> None:
    [mistake] = mistakes(write(ALICE | {"password_hash": weak}))
    assert "is weaker than m=19456,t=2 with 16 bytes of salt and of hash" in mistake


@pytest.mark.parametrize("costly", [("m=19456", "m=4194304"), ("t=2", "t=1000"), ("p=1", "p=16")])
def test_a_hash_that_would_stall_the_gateway_is_refused(costly: tuple[str, str]) -> None:
    [mistake] = mistakes(write(ALICE | {"password_hash": HASH.replace(*costly)}))
    assert "costs more than" in mistake


def test_two_users_of_one_name_are_refused() -> None:
    assert mistakes(write(ALICE, BOB, ALICE)) == ['17: users[2].name: "alice" is the name of users[0] already']


def test_two_accounts_of_a_user_in_one_bank_are_refused() -> None:
    text = write(ALICE).replace('"HDFC": "5,000.00"', '"HDFC": "5,000.00",\n"HDFC": "1.00"')
    assert mistakes(text) == ["8: users[0].accounts.HDFC: is there twice; the second is in line 9: keep one"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "1: must be an object with users, not a list"),
        ("{}", "1: users: is missing"),
        ('{"users": {"alice": "alice123"}}', "1: users: must be a list of users, not an object"),
        (
            '{"users": ["alice123"]}',
            "1: users[0]: must be an object with name, role, password_hash, accounts, disabled, not a text",
        ),
        ('{"users": [], "more": 1}', "1: more: unknown key; known here: users"),
    ],
)
def test_another_shape_is_refused_and_its_content_not_repeated(text: str, said: str) -> None:
    assert mistakes(text) == [said]


def test_without_a_currency_amounts_are_left_alone_and_users_have_no_accounts() -> None:
    [user] = parse_users(write(ALICE | {"accounts": {"HDFC": "1.005"}}))
    assert user.accounts == {}
    assert "must be an amount in quotes" in mistakes(write(ALICE | {"accounts": {"HDFC": 5}}), None)[0]


def test_a_user_can_be_disabled() -> None:
    users = [parse_users(write(ALICE | more))[0] for more in ({}, {"disabled": False}, {"disabled": True})]
    assert [user.is_disabled for user in users] == [False, False, True]
    assert mistakes(write(ALICE | {"disabled": "yes"})) == [
        '10: users[0].disabled: must be true or false, not "yes"'
    ]


# -- the file -----------------------------------------------------------------


def test_a_mistake_in_the_file_names_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text(write(ALICE | {"role": "boss", "name": "?"}))
    with pytest.raises(UsersUnusable) as caught:
        load_users(path)
    assert str(caught.value).startswith(f"{path}:4: users[0].name: must be ")
    assert str(caught.value).endswith("(and 1 more)")


def test_a_missing_file_is_named_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsersUnusable, match=r"no users file .*/users.json: `cluster init` makes one"):
        load_users(tmp_path / "users.json")


def test_a_folder_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsersUnusable, match=r"cannot read the users file .*: Is a directory"):
        load_users(tmp_path)
    (tmp_path / "users.json").write_bytes(b'{"users": [\xff]}')
    with pytest.raises(UsersUnusable, match="not UTF-8 text at byte 11"):
        load_users(tmp_path / "users.json")
