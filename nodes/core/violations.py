"""What is wrong with a request's fields, before anything is asked of it.

A violation is (field, description) as in google.rpc.BadRequest. Texts that come from
users are allowed by list, not cleaned up: what is refused here is never stored.
"""

import re
import unicodedata

from nodes.core.messages import Payment
from nodes.core.money import AMOUNT_MAX, EXPONENTS
from nodes.core.names import split_account

Violation = tuple[str, str]
"""(field as the request names it, what is wrong and what is wanted)."""

MEMO_MAX = 140

_NOT_IN_ONE_LINE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NIL = "00000000-0000-0000-0000-000000000000"


class Malformed(Exception):
    """The request cannot be taken; ``violations`` says each thing that is wrong."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{field}: {description}" for field, description in violations))
        self.violations = violations


def parse_payment(
    payment_id: str, accounts: tuple[str, str], amount_minor: int, currency: str, memo: str
) -> Payment:
    """Return the payment that a request's fields state; ``accounts`` are the payer's and the payee's.

    Raises `Malformed` with everything that is wrong with them.
    """
    payer = split_account(accounts[0])
    payee = split_account(accounts[1])
    is_sound = (
        payer is not None
        and payee is not None
        and payer != payee
        and 0 < amount_minor <= AMOUNT_MAX
        and currency in EXPONENTS
        and _UUID.fullmatch(payment_id) is not None
        and payment_id != _NIL
        and not (memo and _describe_memo(memo))
    )
    if payer is None or payee is None or not is_sound:
        raise Malformed(_find_violations(payment_id, accounts, amount_minor, currency, memo))
    payment = bytes.fromhex(payment_id.replace("-", "")), *payer, *payee, amount_minor, currency, memo
    return Payment._make(payment)


def parse_payment_id(text: str) -> bytes:
    """Return the 16 bytes of a payment id; raises `Malformed`."""
    if not _is_payment_id(text):
        raise Malformed([("payment_id", _PAYMENT_ID_RULE)])
    return bytes.fromhex(text.replace("-", ""))


def format_payment_id(payment_id: bytes) -> str:
    """Write 16 bytes as a UUID."""
    text = payment_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_PAYMENT_ID_RULE = "must be a UUID in lower case with hyphens, not the nil UUID"


def _is_payment_id(text: str) -> bool:
    return _UUID.fullmatch(text) is not None and text != _NIL


def _find_violations(
    payment_id: str, accounts: tuple[str, str], amount_minor: int, currency: str, memo: str
) -> list[Violation]:
    found: list[Violation] = []
    if not _is_payment_id(payment_id):
        found.append(("payment_id", _PAYMENT_ID_RULE))
    for field, account in zip(("payer_account", "payee_account"), accounts, strict=True):
        if split_account(account) is None:
            found.append((field, "must be an account written user@BANK, such as bob@HDFC"))
    if accounts[0] == accounts[1]:
        found.append(("payee_account", "must not be the payer's account"))
    if not 0 < amount_minor <= AMOUNT_MAX:
        found.append(("amount_minor", "must be more than 0"))
    if currency not in EXPONENTS:
        found.append(("currency", "must be an ISO 4217 code in upper case, such as INR"))
    memo_fault = _describe_memo(memo)
    if memo_fault:
        found.append(("memo", memo_fault))
    return found


def _describe_memo(memo: str) -> str:
    """Say what is wrong with a memo; empty when nothing is."""
    if len(memo) > MEMO_MAX:
        return f"must have at most {MEMO_MAX} characters, has {len(memo)}"
    if memo.isascii() and memo.isprintable():
        return ""
    if any(unicodedata.category(character) in _NOT_IN_ONE_LINE for character in memo):
        return "must be one line of text without control characters"
    return ""
