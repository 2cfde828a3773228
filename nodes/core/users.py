"""The users file: who there is, with which role, password hash and opening balances.

Users are predefined; this file is the only way to become one. It is read by the
gateway, for logins, and by the orchestrator, which gives each bank its opening
balances; both read it here, so that they can never differ about what is right::

    {"users": [{"name": "alice", "role": "customer",
                "password_hash": "$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>",
                "accounts": {"HDFC": "5,000.00"}, "disabled": false}]}

A hash is argon2id in PHC form, no weaker than OWASP's least (19 MiB, 2 passes), and no
costlier than a gateway that checks it for strangers can bear. Messages never repeat it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from nodes.core.json_text import JsonDocument, KeyPath, Mistake, kind, show
from nodes.core.money import parse_amount
from nodes.core.names import BANK_NAME_RULE, USER_NAME_RULE, is_bank_name, is_user_name

MEMORY_KIB_MIN = 19 * 1024
PASSES_MIN = 2
_MEMORY_KIB_MAX = 256 * 1024
_PASSES_MAX = 16
_LANES_MAX = 4
_SALT_AND_HASH_BYTES_MIN = 16
_AMOUNT_LENGTH_MAX = 40

_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9][0-9]{0,7}),t=(?P<passes>[1-9][0-9]{0,3}),p=(?P<lanes>[1-9][0-9]?)"
    r"\$(?P<salt>[A-Za-z0-9+/]{1,88})\$(?P<hash>[A-Za-z0-9+/]{1,88})"
)
_MAKE_ONE = "make one with `cluster user hash-password`"


class Role(IntEnum):
    """What a user may do; the values are those of interbank.v1.Role."""

    CUSTOMER = 1
    OPERATOR = 2
    AUDITOR = 3


@dataclass(frozen=True, slots=True)
class User:
    """One user. ``accounts`` maps a bank to the opening balance there, in minor units.

    Who is disabled may not log in, and has no login that holds; the accounts stay.
    """

    name: str
    role: Role
    password_hash: str = field(repr=False)
    accounts: Mapping[str, int]
    is_disabled: bool = False


class UsersMistaken(Exception):
    """The text is no users file; ``mistakes`` has each thing that is wrong, in the order of the file."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        super().__init__(f"{mistakes[0]}{more}")
        self.mistakes = mistakes


def parse_users(text: str, currency: str | None = None) -> tuple[User, ...]:
    """Return the users that the text of a users file states; raises `UsersMistaken`.

    Amounts are in ``currency``. Who does not know it (the gateway, which keeps no
    balances) leaves it out: they are taken as they are, and no user has ``accounts``.
    """
    document = JsonDocument(text)
    rows: Any = None if document.mistakes else document.members((), document.value, ["users"]).get("users", [])
    if isinstance(rows, list):
        for index, row in enumerate(rows):
            _check_user(document, ("users", index), row, currency)
        _check_names_differ(document, rows)
    elif not document.mistakes:
        document.refuse(("users",), f"must be a list of users, not {kind(rows)}")
    if document.mistakes:
        raise UsersMistaken(sorted(document.mistakes, key=lambda mistake: mistake.line))
    return tuple(_make_user(row, currency) for row in rows)


def _make_user(row: Mapping[str, Any], currency: str | None) -> User:
    opening = row.get("accounts", {})
    accounts = {bank: parse_amount(amount, currency) for bank, amount in opening.items()} if currency else {}
    role, is_disabled = Role[row["role"].upper()], row.get("disabled", False)
    return User(row["name"], role, row["password_hash"], MappingProxyType(accounts), is_disabled)


def _check_user(document: JsonDocument, path: KeyPath, row: object, currency: str | None) -> None:
    fields = document.members(path, row, ["name", "role", "password_hash"], ["accounts", "disabled"])
    for name, find_fault in (("name", _name_fault), ("role", _role_fault), ("password_hash", _hash_fault)):
        fault = find_fault(fields[name]) if name in fields else ""
        if fault:
            document.refuse((*path, name), fault)
    if not isinstance(fields.get("disabled", False), bool):
        document.refuse((*path, "disabled"), f"must be true or false, not {show(fields['disabled'])}")
    _check_accounts(document, (*path, "accounts"), fields.get("accounts", {}), currency)


def _check_accounts(document: JsonDocument, path: KeyPath, accounts: object, currency: str | None) -> None:
    if not isinstance(accounts, dict):
        document.refuse(path, f'must be an object like {{"HDFC": "5,000.00"}}, not {kind(accounts)}')
        return
    for bank, amount in accounts.items():
        if not is_bank_name(bank):
            document.refuse((*path, bank), f"is no name of a bank, which is {BANK_NAME_RULE}")
        fault = _amount_fault(amount, currency)
        if fault:
            document.refuse((*path, bank), fault)


def _check_names_differ(document: JsonDocument, rows: list[Any]) -> None:
    first: dict[str, int] = {}
    for index, row in enumerate(rows):
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            document.refuse(("users", index, "name"), f"{show(name)} is the name of users[{first[name]}] already")


def _name_fault(value: object) -> str:
    if isinstance(value, str) and is_user_name(value):
        return ""
    return f"must be {USER_NAME_RULE}, not {show(value)}"


def _role_fault(value: object) -> str:
    if value in [role.name.lower() for role in Role]:
        return ""
    return f"must be customer, operator or auditor, not {show(value)}"


def _amount_fault(value: object, currency: str | None) -> str:
    if not isinstance(value, str) or len(value) > _AMOUNT_LENGTH_MAX:
        return f'must be an amount in quotes, such as "5,000.00", not {show(value)}'
    try:
        if currency:
            parse_amount(value, currency)
    except ValueError as error:
        return str(error)
    return ""


def _hash_fault(value: object) -> str:
    match = _PHC.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (salt := _decode(match["salt"])) or not (tag := _decode(match["hash"])):
        return f"must be an argon2id hash like $argon2id$v=19$m=...; {_MAKE_ONE}"
    memory_kib, passes, lanes = int(match["memory"]), int(match["passes"]), int(match["lanes"])
    if memory_kib < MEMORY_KIB_MIN or passes < PASSES_MIN or min(len(salt), len(tag)) < _SALT_AND_HASH_BYTES_MIN:
        return f"is weaker than m={MEMORY_KIB_MIN},t={PASSES_MIN} with 16 bytes of salt and of hash; {_MAKE_ONE}"
    if memory_kib > _MEMORY_KIB_MAX or passes > _PASSES_MAX or lanes > _LANES_MAX:
        return f"costs more than m={_MEMORY_KIB_MAX},t={_PASSES_MAX},p={_LANES_MAX}; {_MAKE_ONE}"
    return ""


def _decode(text: str) -> bytes:
    """Return the bytes of unpadded base64, none if it is not written the one right way."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
    return decoded if base64.b64encode(decoded).decode().rstrip("=") == text else b""
