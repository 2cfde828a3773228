"""What makes a debit rightful: a login of the payer, valid when the payment was taken, and the very payment.

The gateway holds the payers' logins, and could, by a mistake of its own, ask banks for a
payment that nobody ordered. So with each prepare travels what its payer called with, noted
at the door before anything else touches the payment: the login (a token signed by the
gateway's key, which it can make for who has given the password alone), a fingerprint of the
fields that were asked for, and when that was. A bank compares with what it is asked to hold.

The login must have held when the payment was taken, not when a bank votes: what ends
meanwhile does not break what was begun.
"""

from typing import Any, NamedTuple
from zlib import crc32


class Authority(NamedTuple):
    """What a payer called with. ``login`` is opaque here; the time is microseconds since 1970."""

    login: Any
    fingerprint: int
    taken_at_us: int


class Grant(NamedTuple):
    """What a login says that was found genuine: who it is, and from when to when; microseconds since 1970."""

    user: str
    from_us: int
    until_us: int


Fields = tuple[bytes, str, str, str, str, int, str]
"""Payment id, payer, payer's bank, payee, payee's bank, amount in minor units, currency."""


def fingerprint(fields: Fields) -> int:
    """Return a number of 32 bits that other fields have another of, but for one in four thousand million.

    It is held against mistakes, not against forgers: nobody signs it, and whoever could forge
    the one that travels could as well make it anew. So a checksum does, at a third of the cost.
    """
    payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency = fields
    # A line end is in none of them.
    text = f"{payer}\n{payer_bank}\n{payee}\n{payee_bank}\n{amount_minor}\n{currency}"
    return crc32(text.encode(), crc32(payment_id))


def is_rightful(fields: Fields, said: int, taken_at_us: int, grant: Grant | None) -> bool:
    """Tell whether the payer ordered this payment, with a login that held then.

    ``said`` is the fingerprint that was noted when it was taken, ``grant`` what the login says.
    """
    return (
        grant is not None
        and grant.user == fields[1]
        and grant.from_us <= taken_at_us <= grant.until_us
        and said == fingerprint(fields)
    )
