"""The language of the shell: one line in, one command or one mistake out. Pure.

`FORMS` is the whole language: what `help` shows, what completion offers and what is
parsed come from it. Words are parted by spaces; only double quotes keep them together,
so that an apostrophe in a memo is an apostrophe. Names of banks may be typed in lower
case; nothing else is guessed.
"""

import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nodes.core.money import parse_amount
from nodes.core.names import BANK_NAME_RULE, USER_NAME_RULE, is_bank_name, is_user_name, split_account
from nodes.core.violations import Malformed, parse_payment_id

HISTORY_COUNT = 20
HISTORY_COUNT_MAX = 500
_DURATION = re.compile(r"(?P<number>[0-9]{1,6}(\.[0-9]{1,3})?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# -- commands -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogIn:
    """Log in; an empty ``user`` stands for the one that the shell was started for."""

    user: str = ""


@dataclass(frozen=True, slots=True)
class LogOut:
    """Log out."""


@dataclass(frozen=True, slots=True)
class ShowBalance:
    """Show the balance at one bank, or at all."""

    bank: str = ""


@dataclass(frozen=True, slots=True)
class Pay:
    """Pay from the user's account at ``payer_bank``."""

    payee_account: str
    amount_minor: int
    payer_bank: str
    memo: str = ""


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """Show the newest payments."""

    count: int = HISTORY_COUNT


@dataclass(frozen=True, slots=True)
class ShowPayment:
    """Show one payment."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class ListOutbox:
    """Show what is queued, and what became of it."""


@dataclass(frozen=True, slots=True)
class SendOutbox:
    """Send what is queued, now."""


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """Take a payment that was never sent out of the queue."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Show new payments as they come, for so long; None: until Ctrl-C."""

    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Help:
    """Show the language, or one command of it."""

    topic: str = ""


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave the shell."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A number of the menu; its parts are to be asked for."""

    name: str


Command = (
    LogIn
    | LogOut
    | ShowBalance
    | Pay
    | ShowHistory
    | ShowPayment
    | ListOutbox
    | SendOutbox
    | CancelPayment
    | Watch
    | Help
    | Quit
    | Choice
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A line that is no command: what is wrong, and an example of the right form."""

    message: str
    example: str

    def __str__(self) -> str:
        return f"{self.message}; write it like: {self.example}"


# -- the forms of commands ----------------------------------------------------------

Words = Sequence[str]


class _Wrong(Exception):
    """What is wrong with a line, found while its parts are read."""


class Form(NamedTuple):
    """How one command is written; ``read`` gets the words after its name, and the currency."""

    usage: str
    example: str
    meaning: str
    read: Callable[[Words, str], Command]


def _read_log_in(words: Words, _: str) -> Command:
    _demand_count(words, 0, 1, "login takes the user's name alone; the password is asked for")
    if words and not is_user_name(words[0]):
        raise _Wrong(f"{words[0]!r} is no user's name ({USER_NAME_RULE})")
    return LogIn(*words)


def _read_balance(words: Words, _: str) -> Command:
    _demand_count(words, 0, 1, "balance takes one bank, or none for all of them")
    return ShowBalance(*map(_read_bank, words))


def _read_pay(words: Words, currency: str) -> Command:
    match words:
        case [payee, amount, "from", bank]:
            memo: Words = ()
        case [payee, amount, "from", bank, "memo", first, *rest]:
            memo = (first, *rest)
        case _:
            raise _Wrong("pay takes an account, an amount and the bank to pay from")
    return Pay(_read_account(payee), _read_amount(amount, currency), _read_bank(bank), " ".join(memo))


def _read_history(words: Words, _: str) -> Command:
    match words:
        case []:
            return ShowHistory()
        case [count] | ["-n", count] if count.isascii() and count.isdigit() and len(count) < 5:
            if 1 <= int(count) <= HISTORY_COUNT_MAX:
                return ShowHistory(int(count))
    raise _Wrong(f"history takes a number of payments, 1 to {HISTORY_COUNT_MAX}")


def _read_show_payment(words: Words, _: str) -> Command:
    _demand_count(words, 1, 1, "payment takes the id of one payment, as history shows it")
    return ShowPayment(_read_payment_id(words[0]))


def _read_outbox(words: Words, _: str) -> Command:
    match words:
        case [] | ["ls"]:
            return ListOutbox()
        case ["send"]:
            return SendOutbox()
        case ["cancel", payment_id]:
            return CancelPayment(_read_payment_id(payment_id))
    raise _Wrong("outbox takes ls, send, or cancel and the id of a payment")


def _read_watch(words: Words, _: str) -> Command:
    match words:
        case []:
            return Watch()
        case ["--for", duration]:
            return Watch(_read_duration(duration))
    raise _Wrong("watch takes --for and how long, or nothing for until Ctrl-C")


def _read_help(words: Words, _: str) -> Command:
    _demand_count(words, 0, 1, "help takes the name of one command, or nothing for all of them")
    if words and words[0] not in FORMS:
        raise _Wrong(f"there is no command {words[0]!r} to help with")
    return Help(*words)


def _bare(name: str, command: Command) -> Callable[[Words, str], Command]:
    def read(words: Words, _: str) -> Command:
        _demand_count(words, 0, 0, f"{name} takes nothing")
        return command

    return read


_ID = "01932c07-5a7b-7c3e-9d0a-0f3c5a1b2c3d"

FORMS: Mapping[str, Form] = {
    "login": Form("login [USER]", "login alice", "Log in; the password is asked for.", _read_log_in),
    "balance": Form("balance [BANK]", "balance HDFC", "Show your balance at a bank, or at all.", _read_balance),
    "pay": Form(
        "pay USER@BANK AMOUNT from BANK [memo TEXT]",
        'pay bob@HDFC 1000 from ICICI memo "rent"',
        "Pay, from your account at a bank.",
        _read_pay,
    ),
    "history": Form("history [-n COUNT]", "history -n 20", "Show your payments, newest first.", _read_history),
    "payment": Form("payment ID", f"payment {_ID}", "Show one payment.", _read_show_payment),
    "outbox": Form(
        "outbox [ls | send | cancel ID]",
        f"outbox cancel {_ID}",
        "Show payments queued here, send them now, or cancel one that was never sent.",
        _read_outbox,
    ),
    "watch": Form("watch [--for TIME]", "watch --for 10s", "Show new payments as they come.", _read_watch),
    "help": Form("help [COMMAND]", "help pay", "Show this, or one command.", _read_help),
    "logout": Form("logout", "logout", "Log out.", _bare("logout", LogOut())),
    "quit": Form("quit", "quit", "Leave; what is queued stays queued.", _bare("quit", Quit())),
}
"""Every command by its name."""

MENU: Mapping[str, str] = {"1": "login", "2": "pay", "3": "balance", "4": "history", "5": "logout"}
"""What the numbers of the menu stand for."""

_SAME = {"exit": "quit", "?": "help"}

# -- parsing ------------------------------------------------------------------------


def parse(line: str, currency: str) -> Command | Mistake | None:
    """Return what a line asks for, or what is wrong with it; None for an empty line and a # comment."""
    if line.strip().startswith("#"):
        return None
    try:
        words = split_words(line)
    except ValueError:
        return Mistake("a double quote is not closed", FORMS["pay"].example)
    return parse_words(words, currency) if words else None


def parse_words(words: Words, currency: str) -> Command | Mistake:
    """Return what words ask for; the first is the command's name."""
    name = _SAME.get(words[0].lower(), words[0].lower())
    if name in MENU and len(words) == 1:
        return Choice(MENU[name])
    if name not in FORMS:
        return _refuse_unknown(words[0])
    form = FORMS[name]
    try:
        return form.read(list(words[1:]), currency)
    except _Wrong as wrong:
        return Mistake(str(wrong), form.example)


def split_words(line: str) -> list[str]:
    """Part a line into words; ValueError if a quote is not closed."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.quotes = '"'
    lexer.escape = ""
    return list(lexer)


def _refuse_unknown(name: str) -> Mistake:
    near = difflib.get_close_matches(name.lower(), FORMS, n=1)
    shown = f"there is no command {name[:40]!r}"
    if near:
        return Mistake(f"{shown}, did you mean {near[0]}?", FORMS[near[0]].example)
    return Mistake(f"{shown}; help shows them all", FORMS["balance"].example)


# -- parts --------------------------------------------------------------------------


def _demand_count(words: Words, least: int, most: int, otherwise: str) -> None:
    if not least <= len(words) <= most:
        raise _Wrong(otherwise)


def _read_bank(text: str) -> str:
    if not is_bank_name(text.upper()):
        raise _Wrong(f"{text!r} is no bank's name ({BANK_NAME_RULE})")
    return text.upper()


def _read_account(text: str) -> str:
    user, _, bank = text.partition("@")
    account = f"{user}@{bank.upper()}"
    if split_account(account) is None:
        raise _Wrong(f"{text!r} is not an account; accounts are USER@BANK")
    return account


def _read_amount(text: str, currency: str) -> int:
    try:
        minor = parse_amount(text, currency)
    except ValueError as error:
        raise _Wrong(str(error)) from error
    if minor == 0:
        raise _Wrong("the amount must be more than 0")
    return minor


def _read_payment_id(text: str) -> str:
    try:
        parse_payment_id(text.lower())
    except Malformed:
        raise _Wrong(f"{text[:60]!r} is not the id of a payment") from None
    return text.lower()


def _read_duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None or float(match["number"]) == 0:
        raise _Wrong(f"{text!r} is not a duration; there are 500ms, 10s, 5m and 1h")
    return float(match["number"]) * _SECONDS[match["unit"]]
