"""The shell's language: a line is a command, or a mistake that comes with an example of the right form."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from nodes.core.names import is_bank_name, is_user_name, split_account

HISTORY_COUNT = 20
_HISTORY_MAX = 500

HELP = """\
login [USER]                                 log in; the password is asked for
balance [BANK]                               what you have, at one bank or all
pay USER@BANK AMOUNT from BANK [memo "..."]  pay from your account at a bank
history [-n COUNT]                           your payments, newest first
payment ID                                   one payment
outbox ls | send | cancel ID                 payments that wait to be sent
watch [--for 10s]                            show payments as they come
balance, history, payment ... of USER        the same of another user, for an auditor
menu                                         the numbered menu: type a number instead
logout, help, quit"""

MENU = """\
1  login
2  pay
3  balance
4  history
5  logout"""


class Mistake(Exception):
    """A line that is no command; the message has the right form."""


@dataclass(frozen=True, slots=True)
class LogIn:
    """Log a user in; empty: ask who."""

    user: str


@dataclass(frozen=True, slots=True)
class LogOut:
    """End the login."""


@dataclass(frozen=True, slots=True)
class ShowBalance:
    """Show what a user has; empty: at every bank, the user's own."""

    bank: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Pay:
    """Pay; the amount as it was typed."""

    payee_account: str
    amount: str
    from_bank: str
    memo: str


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """Show the newest payments; of the user's own if nobody is named."""

    count: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class ShowPayment:
    """Show one payment; of the user's own if nobody is named."""

    payment_id: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class ListOutbox:
    """Show what waits, and what became of the last items."""


@dataclass(frozen=True, slots=True)
class SendOutbox:
    """Try to send what waits, now."""


@dataclass(frozen=True, slots=True)
class CancelItem:
    """Take back a payment that was never sent."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Show payments as they come, for so many seconds; 0: until interrupted."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ShowMenu:
    """Show the numbered menu."""


@dataclass(frozen=True, slots=True)
class Choose:
    """A number of the menu."""

    number: int


@dataclass(frozen=True, slots=True)
class Help:
    """Show the commands."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


Command = (
    LogIn
    | LogOut
    | ShowBalance
    | Pay
    | ShowHistory
    | ShowPayment
    | ListOutbox
    | SendOutbox
    | CancelItem
    | Watch
    | ShowMenu
    | Choose
    | Help
    | Quit
)


def parse(line: str) -> Command | None:
    """Return the command of a line, None if there is nothing in it; raises `Mistake`."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise Mistake('a quotation is not closed; write memo "like this"') from error
    if not words:
        return None
    name, arguments = words[0].lower(), words[1:]
    if name.isascii() and name.isdigit() and not arguments:
        return _choose(name)
    reader = _READERS.get(name)
    if reader is None:
        raise Mistake(f"there is no command {words[0][:40]!r}; `help` shows those that are")
    return reader(arguments)


def _choose(text: str) -> Choose:
    number = _read_number(text)
    if not 1 <= number <= 5:
        raise Mistake(f"the menu has no {text[:40]}; `menu` shows it")
    return Choose(number)


def _read_number(text: str) -> int:
    """Return a whole number of at most 6 digits; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0


def _read_login(words: list[str]) -> LogIn:
    if len(words) > 1 or (words and not is_user_name(words[0])):
        raise Mistake("write: login alice")
    return LogIn(words[0] if words else "")


def _split_subject(words: list[str]) -> tuple[list[str], str]:
    """Take ``of USER`` off the end of a command; the user is empty if nobody is named."""
    if len(words) >= 2 and words[-2].lower() == "of":
        return words[:-2], read_user(words[-1])
    return words, ""


def _read_balance(words: list[str]) -> ShowBalance:
    words, user = _split_subject(words)
    bank = words[0].upper() if words else ""
    if len(words) > 1 or (bank and not is_bank_name(bank)):
        raise Mistake("write: balance, or balance HDFC")
    return ShowBalance(bank, user)


def read_account(text: str) -> str:
    """Return the account that ``text`` names, its bank in capitals; raises `Mistake`."""
    user, _, bank = text.strip().partition("@")
    account = f"{user}@{bank.upper()}"
    if split_account(account) is None:
        raise Mistake(f"{text[:40]!r} is not an account like bob@HDFC")
    return account


def read_bank(text: str) -> str:
    """Return the bank that ``text`` names, in capitals; raises `Mistake`."""
    bank = text.strip().upper()
    if not is_bank_name(bank):
        raise Mistake(f"{text[:40]!r} is not a bank like ICICI")
    return bank


def read_user(text: str) -> str:
    """Return the user that ``text`` names; raises `Mistake`."""
    user = text.strip()
    if not is_user_name(user):
        raise Mistake(f"{text[:40]!r} is not a user like alice")
    return user


def _read_pay(words: list[str]) -> Pay:
    form = 'write: pay bob@HDFC 1000 from ICICI memo "rent"'
    memo = ""
    if len(words) == 6 and words[4].lower() == "memo":
        memo = words[5]
    elif len(words) != 4:
        raise Mistake(form)
    payee, amount, preposition, bank = words[:4]
    if preposition.lower() != "from":
        raise Mistake(form)
    try:
        return Pay(read_account(payee), amount, read_bank(bank), memo)
    except Mistake as error:
        raise Mistake(f"{error}; {form}") from error


def _read_history(words: list[str]) -> ShowHistory:
    words, user = _split_subject(words)
    if not words:
        return ShowHistory(HISTORY_COUNT, user)
    count = _read_number(words[1]) if len(words) == 2 and words[0] == "-n" else 0
    if not 1 <= count <= _HISTORY_MAX:
        raise Mistake(f"write: history, or history -n 50 (at most {_HISTORY_MAX})")
    return ShowHistory(count, user)


def _read_payment(words: list[str]) -> ShowPayment:
    words, user = _split_subject(words)
    if len(words) != 1:
        raise Mistake("write: payment 01890a5d-ac96-774b-bcce-b302099a8057")
    return ShowPayment(words[0].lower(), user)


def _read_outbox(words: list[str]) -> Command:
    match words:
        case [] | ["ls"]:
            return ListOutbox()
        case ["send"]:
            return SendOutbox()
        case ["cancel", payment_id]:
            return CancelItem(payment_id.lower())
        case _:
            raise Mistake("write: outbox ls, outbox send, or outbox cancel ID")


def _read_watch(words: list[str]) -> Watch:
    if words[:1] == ["--for"] and len(words) == 2:
        words = words[1:]
    seconds = _read_number(words[0].removesuffix("s")) if len(words) == 1 else 0
    if words and not seconds:
        raise Mistake("write: watch, or watch --for 10s")
    return Watch(float(seconds))


def _plain(command: Command) -> Callable[[list[str]], Command]:
    def read(words: list[str]) -> Command:
        if words:
            raise Mistake(f"this command takes nothing after it, not {words[0][:40]!r}")
        return command

    return read


_READERS: dict[str, Callable[[list[str]], Command]] = {
    "login": _read_login,
    "logout": _plain(LogOut()),
    "balance": _read_balance,
    "pay": _read_pay,
    "history": _read_history,
    "payment": _read_payment,
    "outbox": _read_outbox,
    "watch": _read_watch,
    "menu": _plain(ShowMenu()),
    "help": _plain(Help()),
    "?": _plain(Help()),
    "quit": _plain(Quit()),
    "exit": _plain(Quit()),
}

COMMAND_WORDS = tuple(name for name in _READERS if name.isalpha())
"""What can stand first in a line."""
