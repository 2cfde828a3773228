"""Money: 64-bit integers in minor units with an ISO 4217 code; never floats.

Minor units are what ISO 4217 says (INR 2, JPY 0, BHD 3); the exponents come from
`EXPONENTS`, not from a locale library, whose digits are those of display.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

AMOUNT_MAX = 2**63 - 1
"""The largest amount and the largest balance, in minor units."""

EXPONENTS: Mapping[str, int] = MappingProxyType(
    {
        "AED": 2, "AUD": 2, "BDT": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CNY": 2,
        "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "IDR": 2, "ILS": 2, "INR": 2, "JPY": 0,
        "KES": 2, "KRW": 0, "KWD": 3, "LKR": 2, "MXN": 2, "MYR": 2, "NGN": 2, "NOK": 2,
        "NPR": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PKR": 2, "PLN": 2, "SAR": 2, "SEK": 2,
        "SGD": 2, "THB": 2, "TND": 3, "TRY": 2, "TWD": 2, "USD": 2, "VND": 0, "ZAR": 2,
    }
)  # fmt: skip
"""Digits after the decimal point by currency (ISO 4217:2015, list one)."""

_WESTERN = r"[0-9]{1,3}(,[0-9]{3})+"
_INDIAN = r"[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}"
# The last group has three digits: "1,00" is one in half of the world, and must not be taken for a hundred.
_AMOUNT = re.compile(rf"(?P<whole>{_WESTERN}|{_INDIAN}|[0-9]{{1,19}})(\.(?P<fraction>[0-9]+))?")


def parse_amount(text: str, currency: str) -> int:
    """Return the minor units of an amount as people write it: ``1000``, ``1,000.50``, ``₹12,00,000``.

    Raises ValueError, with a sentence that says what is wrong, for anything that is
    not a plain amount of this currency: signs, exponents, too many decimals, too large.
    """
    exponent = EXPONENTS[currency]
    match = _AMOUNT.fullmatch(text.strip().removeprefix("₹"))
    if match is None:
        raise ValueError(f"{text!r} is not an amount; write it like 1000 or 1,000.50")
    fraction = match["fraction"] or ""
    if len(fraction) > exponent:
        raise ValueError(f"{text!r} has more than the {exponent} decimals of {currency}")
    minor = int(match["whole"].replace(",", "") + fraction.ljust(exponent, "0"))
    if minor > AMOUNT_MAX:
        raise ValueError(f"{text!r} is more than the largest amount, {format_amount(AMOUNT_MAX, currency)}")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """Write minor units plainly, the same in every locale: ``-1234567`` of INR is ``-12,345.67``."""
    exponent = EXPONENTS[currency]
    whole, fraction = divmod(abs(minor), 10**exponent)
    text = f"{whole:,}" + (f".{fraction:0{exponent}}" if exponent else "")
    return f"-{text}" if minor < 0 else text
