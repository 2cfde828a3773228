"""Amounts as people read them."""

from nodes.core.money import format_amount

_SYMBOLS = {"INR": "₹", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def show_amount(minor: int, currency: str) -> str:
    """Write an amount with its currency's sign."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{_SYMBOLS.get(currency, currency + ' ')}{format_amount(abs(minor), currency)}"
