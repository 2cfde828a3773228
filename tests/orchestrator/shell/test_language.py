"""The shell's language: every form, and a mistake with the right form for every other line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.shell import language as words
from orchestrator.shell.language import Mistake, parse

ID = "01932c07-5a7b-7c3e-9d0a-0f3c5a1b2c3d"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", None),
        ("   # a comment", None),
        ("login", words.LogIn("")),
        ("LOGIN alice", words.LogIn("alice")),
        ("logout", words.LogOut()),
        ("balance", words.ShowBalance("")),
        ("balance hdfc", words.ShowBalance("HDFC")),
        ("pay bob@hdfc 1,000.50 from icici", words.Pay("bob@HDFC", "1,000.50", "ICICI", "")),
        ('pay bob@HDFC 1000 from ICICI memo "the rent"', words.Pay("bob@HDFC", "1000", "ICICI", "the rent")),
        ("history", words.ShowHistory(20)),
        ("history -n 500", words.ShowHistory(500)),
        (f"payment {ID.upper()}", words.ShowPayment(ID)),
        ("balance of bob", words.ShowBalance("", "bob")),
        ("balance hdfc of bob", words.ShowBalance("HDFC", "bob")),
        ("history -n 5 of bob", words.ShowHistory(5, "bob")),
        ("history of bob", words.ShowHistory(20, "bob")),
        (f"payment {ID} OF bob", words.ShowPayment(ID, "bob")),
        ("outbox", words.ListOutbox()),
        ("outbox ls", words.ListOutbox()),
        ("outbox send", words.SendOutbox()),
        (f"outbox cancel {ID}", words.CancelItem(ID)),
        ("watch", words.Watch(0.0)),
        ("watch 10s", words.Watch(10.0)),
        ("watch --for 10s", words.Watch(10.0)),
        ("menu", words.ShowMenu()),
        ("2", words.Choose(2)),
        ("help", words.Help()),
        ("exit", words.Quit()),
    ],
)
def test_each_form_is_its_command(line, command):
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pya bob@HDFC 1 from ICICI", "no command 'pya'"),
        ("login Alice!", "login alice"),
        ("balance HDFC ICICI", "balance HDFC"),
        ("pay", "pay bob@HDFC 1000 from ICICI"),
        ("pay bob 1000 from ICICI", "'bob' is not an account"),
        ("pay bob@HDFC 1000 to ICICI", "pay bob@HDFC 1000 from ICICI"),
        ("pay bob@HDFC 1000 from 7", "'7' is not a bank"),
        ('pay bob@HDFC 1000 from ICICI memo "rent', "not closed"),
        ("history -n 0", "history -n 50"),
        ("history -n ²", "history -n 50"),
        ("history -n " + "9" * 5000, "history -n 50"),
        ("9" * 5000, "the menu has no 999"),
        ("watch ²s", "watch --for 10s"),
        ("watch --for", "watch --for 10s"),
        ("history of Bob!", "'Bob!' is not a user"),
        ("outbox burn", "outbox cancel ID"),
        ("logout now", "takes nothing"),
    ],
)
def test_any_other_line_is_a_mistake_that_shows_the_right_form(line, said):
    with pytest.raises(Mistake) as mistake:
        parse(line)
    assert said in str(mistake.value)
    assert len(str(mistake.value)) < 200


@given(
    st.text()
    | st.lists(st.sampled_from([*words.COMMAND_WORDS, "-n", "--for", "²", "bob@HDFC", '"', "from"])).map(" ".join)
)
def test_no_line_is_anything_but_a_command_or_a_mistake(line):
    try:
        parse(line)
    except Mistake as mistake:
        assert str(mistake)  # noqa: PT017 - either is well
