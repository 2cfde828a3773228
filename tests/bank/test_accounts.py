import json

import pytest

from nodes.bank.accounts import AccountsUnusable, load_accounts


def load(tmp_path, content):
    path = tmp_path / "HDFC.accounts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_accounts(path)


def test_opening_balances_are_read(tmp_path):
    loaded = load(tmp_path, {"currency": "INR", "accounts": {"alice": 500000, "bob": 0}})
    assert loaded == ("INR", {"alice": 500000, "bob": 0})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ([], "exactly the keys"),
        ({"currency": "INR"}, "exactly the keys"),
        ({"currency": "XXX", "accounts": {}}, "currency: 'XXX'"),
        ({"currency": "INR", "accounts": []}, "accounts: must be an object"),
        ({"currency": "INR", "accounts": {"Alice": 1}}, "'Alice' cannot be a user"),
        ({"currency": "INR", "accounts": {"alice": 1.5}}, "accounts.alice: must be a whole number"),
        ({"currency": "INR", "accounts": {"alice": True}}, "accounts.alice: must be a whole number"),
        ({"currency": "INR", "accounts": {"alice": -1}}, "accounts.alice: must be a whole number"),
        ({"currency": "INR", "accounts": {"alice": 2**63 - 1, "bob": 1}}, "add up to more"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, content, said):
    with pytest.raises(AccountsUnusable, match=said) as caught:
        load(tmp_path, content)
    assert "HDFC.accounts.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AccountsUnusable, match=r"there is no accounts file .*nowhere.json"):
        load_accounts(tmp_path / "nowhere.json")
