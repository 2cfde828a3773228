"""The accounts of users.json, handed to each bank as a file of its own.

A bank is told of its own customers only, and of no password hash.
"""

import json

from nodes.core.users import User, UsersMistaken, parse_users
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder


class AccountsMistaken(Exception):
    """users.json cannot be used with this cluster; the message has a line for each mistake."""


def read_users(config: ClusterConfig) -> tuple[User, ...]:
    """Read users.json, with opening balances in minor units; raises `AccountsMistaken`."""
    path = config.users
    try:
        users = parse_users(path.read_text(encoding="utf-8"), config.currency)
    except OSError as error:
        raise AccountsMistaken(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AccountsMistaken(f"{path}: is not UTF-8 text") from error
    except UsersMistaken as error:
        raise AccountsMistaken("\n".join(f"{path.name}:{mistake}" for mistake in error.mistakes)) from error
    strays = [
        f"{path.name}: {user.name} has an account at {bank}, and {config.name} has no bank of that name"
        for user in users
        for bank in user.accounts
        if bank not in config.banks
    ]
    if strays:
        raise AccountsMistaken("\n".join(strays))
    return users


def ensure_accounts(config: ClusterConfig, folder: ClusterFolder) -> list[str]:
    """Write each bank's accounts where it looks for them, also while it runs; return those that have changed.

    Raises `AccountsMistaken` before it writes.
    """
    users = read_users(config)
    changed = []
    for bank in config.banks:
        accounts = {user.name: user.accounts[bank] for user in users if bank in user.accounts}
        content = json.dumps({"currency": config.currency, "accounts": accounts}, indent=2) + "\n"
        path = folder.accounts(bank)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            write_whole(path, content.encode())
            changed.append(bank)
    return changed
