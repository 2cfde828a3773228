import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.core.money import AMOUNT_MAX, EXPONENTS, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1000", "INR", 100_000),
        ("1,000.50", "INR", 100_050),
        ("12,00,000", "INR", 120_000_000),
        ("1,00,00,000", "INR", 1_000_000_000),
        ("999,999", "INR", 99_999_900),
        ("₹5,000.00", "INR", 500_000),
        ("0.5", "INR", 50),
        ("7", "JPY", 7),
        ("1.234", "BHD", 1234),
        ("0", "INR", 0),
    ],
)
def test_amounts_are_read_as_people_write_them(text, currency, minor):
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1e3",
        "NaN",
        "inf",
        "1.234",
        "1.",
        ".5",
        "1,0",
        "1,00",
        "1,00,00",
        "1,000,00",
        "100,00,000",
        "12,34",
        "1,,000",
        "0x10",
        "١٠",
        "1 000",
        "9" * 19,
        "9" * 40,
    ],
)
def test_what_is_not_a_plain_amount_is_refused(text):
    with pytest.raises(ValueError, match=r"amount|decimals"):
        parse_amount(text, "INR")


@given(minor=st.integers(0, AMOUNT_MAX), currency=st.sampled_from(sorted(EXPONENTS)))
def test_every_amount_reads_back_as_it_was_written(minor, currency):
    assert parse_amount(format_amount(minor, currency), currency) == minor


def test_amounts_below_zero_are_written_with_a_sign():
    assert format_amount(-1_234_567, "INR") == "-12,345.67"
    assert format_amount(-5, "INR") == "-0.05"
