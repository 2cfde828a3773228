"""Where a password comes from: at hand from the start, or asked for; never from the command line."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passwords:
    """``at_hand`` is the password of ``owner``, or, if that is empty, of whoever logs in.

    ``ask`` is given a user; it is None where nobody types.
    """

    at_hand: str | None = None
    owner: str = ""
    ask: Callable[[str], str] | None = None

    def find(self, user: str) -> str | None:
        """Return the password if it is at hand."""
        return self.at_hand if self.owner in ("", user) else None

    def find_or_ask(self, user: str) -> str | None:
        """Return the password, asked for if need be; None if there is nobody to ask."""
        found = self.find(user)
        return self.ask(user) if found is None and self.ask is not None else found
