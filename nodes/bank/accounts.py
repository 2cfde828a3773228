"""The accounts that a bank opens at its first start, with what is paid in from outside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nodes.core.ledger import BALANCE_MAX
from nodes.core.money import EXPONENTS
from nodes.core.names import USER_NAME_RULE, is_user_name


class AccountsUnusable(Exception):
    """The accounts file cannot be used; the message says which, where in it, why and what to do."""


class OpeningAccounts(NamedTuple):
    """Opening balances in minor units by user, all in one currency."""

    currency: str
    opening_minor: Mapping[str, int]


def load_accounts(path: Path) -> OpeningAccounts:
    """Read ``{"currency": "INR", "accounts": {"alice": 500000}}``; raises `AccountsUnusable`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AccountsUnusable(f"there is no accounts file {path}; --accounts names it") from error
    except OSError as error:
        raise AccountsUnusable(f"cannot read the accounts file {path}: {error.strerror}") from error
    except ValueError as error:
        raise AccountsUnusable(f"{path} is not JSON: {error}") from error
    fault = _find_fault(content)
    if fault:
        raise AccountsUnusable(f"{path}: {fault}")
    return OpeningAccounts(content["currency"], content["accounts"])


def _find_fault(content: Any) -> str:
    """Say what is wrong with the file's content; empty when nothing is."""
    if not isinstance(content, dict) or set(content) != {"currency", "accounts"}:
        return 'must be an object with exactly the keys "currency" and "accounts"'
    if content["currency"] not in EXPONENTS:
        return f"currency: {content['currency']!r} is not a known ISO 4217 code"
    if not isinstance(content["accounts"], dict):
        return "accounts: must be an object of opening balances by user"
    faults = [_find_account_fault(user, opening_minor) for user, opening_minor in content["accounts"].items()]
    if any(faults):
        return next(filter(None, faults))
    if sum(content["accounts"].values()) > BALANCE_MAX:
        return "accounts: the opening balances add up to more than a ledger can keep"
    return ""


def _find_account_fault(user: str, opening_minor: Any) -> str:
    if not is_user_name(user):
        return f"accounts: {user!r} cannot be a user: {USER_NAME_RULE}"
    if type(opening_minor) is not int or not 0 <= opening_minor <= BALANCE_MAX:
        return f"accounts.{user}: must be a whole number of minor units, 0 or more"
    return ""
