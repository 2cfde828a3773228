import pytest

from nodes.core.violations import Malformed, format_payment_id, parse_payment, parse_payment_id

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
GOOD = {
    "payment_id": ID,
    "accounts": ("alice@HDFC", "bob@ICICI"),
    "amount_minor": 100,
    "currency": "INR",
    "memo": "rent",
}


def violations(**changed) -> list[str]:
    with pytest.raises(Malformed) as caught:
        parse_payment(**{**GOOD, **changed})
    return [field for field, _ in caught.value.violations]


def test_a_well_formed_request_is_a_payment():
    payment = parse_payment(**GOOD)
    assert payment[1:] == ("alice", "HDFC", "bob", "ICICI", 100, "INR", "rent")
    assert format_payment_id(payment.payment_id) == ID


@pytest.mark.parametrize(
    "payment_id",
    [
        "",
        "x",
        ID.upper(),
        "{" + ID + "}",
        ID.replace("-", ""),
        ID + "\n",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        "a" * 10240,
    ],
)
def test_a_payment_id_is_a_uuid_in_its_one_form(payment_id):
    assert violations(payment_id=payment_id) == ["payment_id"]
    with pytest.raises(Malformed):
        parse_payment_id(payment_id)


@pytest.mark.parametrize("amount_minor", [0, -1, -(2**63), 2**63])
def test_an_amount_is_more_than_nothing_and_fits(amount_minor):
    assert violations(amount_minor=amount_minor) == ["amount_minor"]


@pytest.mark.parametrize("memo", ["a\nb", "a\x00", "\x1b[31m", "a\u2028b", "a\u202eb", "x" * 141])
def test_a_memo_is_one_line_of_text(memo):
    assert violations(memo=memo) == ["memo"]


@pytest.mark.parametrize("memo", ["", "rent for März", "家賃", "x" * 140, "🙂"])
def test_a_memo_may_be_any_text(memo):
    assert parse_payment(**{**GOOD, "memo": memo}).memo == memo


@pytest.mark.parametrize("currency", ["", "inr", "XXX", "₹"])
def test_a_currency_is_a_known_code(currency):
    assert violations(currency=currency) == ["currency"]


def test_nobody_pays_the_account_they_pay_from():
    assert violations(accounts=("alice@HDFC", "alice@HDFC")) == ["payee_account"]
    assert parse_payment(**{**GOOD, "accounts": ("alice@HDFC", "alice@ICICI")}).payee == "alice"


def test_everything_that_is_wrong_is_said_at_once():
    found = violations(payment_id="x", accounts=("a", "b"), amount_minor=0, currency="?", memo="\n")
    assert found == ["payment_id", "payer_account", "payee_account", "amount_minor", "currency", "memo"]
