"""The gateway's users, read from users.json at the start and whenever it changes."""

import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from nodes.core.users import User, UsersMistaken, parse_users

Users = Mapping[str, User]
"""The users by name."""


class UsersUnusable(Exception):
    """The users file cannot be used; the message says which, where in it, why and what to do."""


def load_users(path: Path) -> Users:
    """Read the users file; raises `UsersUnusable`. The users come without accounts: those are the banks'."""
    try:
        if path.stat().st_mode & stat.S_IWOTH:
            raise UsersUnusable(f"{path} can be changed by everybody: chmod o-w {path}")
        users = parse_users(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsersUnusable(
            f"there is no users file {path}: `cluster init` makes one to start from, --users names another"
        ) from error
    except UnicodeDecodeError as error:
        raise UsersUnusable(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise UsersUnusable(f"cannot read the users file {path}: {error.strerror}") from error
    except UsersMistaken as error:
        raise UsersUnusable(f"{path}:{error}") from error
    return MappingProxyType({user.name: user for user in users})
