"""What a user does at the gateway, one command after another; knows no terminal.

Every payment is saved in the outbox before anything is sent. While the gateway is away
it waits there, and a courier goes on trying in the background; the user is told the id
and which of the three it is: never sent, sent with the answer unknown, or final.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from nodes.client import (
    Balances,
    Client,
    ClientError,
    Delivery,
    GatewayAway,
    Item,
    NotLoggedIn,
    Outbox,
    PaymentRequest,
    PaymentView,
    Session,
    Undelivered,
    new_payment_id,
)
from nodes.core.money import parse_amount
from nodes.core.violations import Malformed, parse_payment
from orchestrator.shell.language import (
    CancelItem,
    Command,
    ListOutbox,
    LogIn,
    LogOut,
    Pay,
    SendOutbox,
    ShowBalance,
    ShowHistory,
    ShowPayment,
)

WATCH_EVERY_S = 1.0

T = TypeVar("T")


class CannotDo(Exception):
    """A command that cannot be carried out now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The user is logged in; ``waiting`` payments are being sent now."""

    session: Session
    waiting: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class NamedOnly:
    """The gateway is away: payments of this user will be kept until a login."""

    user: str


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The login is over."""

    user: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Balances."""

    balances: Balances


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a payment so far: an item, final or waiting."""

    item: Item


@dataclass(frozen=True, slots=True)
class Listed:
    """Payments, newest first, as ``user`` sees them."""

    user: str
    payments: tuple[PaymentView, ...]


@dataclass(frozen=True, slots=True)
class Outboxed:
    """Items of the outbox."""

    items: tuple[Item, ...]


Result = LoggedIn | NamedOnly | LoggedOut | Seen | Sent | Listed | Outboxed


class ShellSession:
    """One user at a time.

    ``ask_password`` is given a user; ``tell`` is told of items that end in the background.
    """

    def __init__(
        self,
        client: Client,
        outbox: Outbox,
        currency: str,
        *,
        ask_password: Callable[[str], str],
        tell: Callable[[Item], None],
        patience_s: float = 3.0,
    ) -> None:
        self.user = ""
        self.is_logged_in = False
        self.is_away = False
        self._client = client
        self._outbox = outbox
        self._currency = currency
        self._ask_password = ask_password
        self._tell = tell
        self._patience_s = patience_s
        self._leaving = threading.Event()
        self._courier: threading.Thread | None = None

    def close(self) -> None:
        """Stop sending; what waits stays in the outbox."""
        self._leaving.set()
        if self._courier is not None:
            self._courier.join()

    def count_waiting(self) -> int:
        """Return how many payments of the user wait."""
        return len(self._outbox.waiting(self.user)) if self.user else 0

    def perform(self, command: Command) -> Result:  # noqa: PLR0911 - one return a command
        """Carry a command out; raises `CannotDo`, or a `ClientError` of the gateway's."""
        match command:
            case LogIn(user):
                return self._log_in(user)
            case LogOut():
                return self._log_out()
            case ShowBalance(bank):
                return Seen(self._ask(lambda: self._client.balances(bank)))
            case Pay():
                return self._pay(command)
            case ShowHistory(count):
                return Listed(self.user, self._ask(lambda: self._client.payments(count)).payments)
            case ShowPayment(payment_id):
                return Listed(self.user, (self._ask(lambda: self._client.payment(payment_id)),))
            case ListOutbox():
                return Outboxed(tuple(self._outbox.items(self._demand_user())))
            case SendOutbox():
                return self._send_all()
            case CancelItem(payment_id):
                return Sent(self._outbox.cancel(self._demand_user(), payment_id))
            case _:
                raise AssertionError(f"{command} is the terminal's business")

    def watch(self) -> Iterator[Listed]:
        """Yield payments that come about, each once, for as long as the caller likes."""
        known = {view.payment_id for view in self._ask(self._client.payments).payments}
        while True:
            time.sleep(WATCH_EVERY_S)
            views = self._ask(self._client.payments).payments
            new = tuple(view for view in views if view.payment_id not in known)
            known.update(view.payment_id for view in new)
            yield Listed(self.user, new)

    # -- logins -----------------------------------------------------------------

    def _log_in(self, user: str) -> Result:
        if self.is_logged_in:
            raise CannotDo(f"{self.user} is logged in; `logout` first")
        try:
            session = self._client.log_in(user, self._ask_password(user))
        except GatewayAway:
            self.user, self.is_away = user, True
            return NamedOnly(user)
        self.user, self.is_logged_in, self.is_away = session.user, True, False
        waiting = tuple(self._outbox.waiting(self.user))
        if waiting:
            self._start_courier()
        return LoggedIn(session, waiting)

    def _log_out(self) -> LoggedOut:
        user = self._demand_user()
        self._leaving.set()
        if self._courier is not None:
            self._courier.join()
            self._courier = None
        self._leaving.clear()
        try:
            if self.is_logged_in:
                self._client.log_out()
        finally:
            self.user, self.is_logged_in = "", False
        return LoggedOut(user)

    def _demand_user(self) -> str:
        if not self.user:
            raise CannotDo("log in first: login alice")
        return self.user

    def _ask(self, call: Callable[[], T]) -> T:
        """Ask the gateway something; a login that is over is told as such."""
        self._demand_user()
        try:
            answer = call()
        except NotLoggedIn as error:
            self.is_logged_in = False
            raise CannotDo(f"{error}; `login {self.user}`") from error
        except GatewayAway:
            self.is_away = True
            raise
        self.is_away = False
        return answer

    # -- payments ---------------------------------------------------------------

    def _pay(self, command: Pay) -> Sent:
        user = self._demand_user()
        try:
            amount_minor = parse_amount(command.amount, self._currency)
            request = PaymentRequest(
                new_payment_id(),
                f"{user}@{command.from_bank}",
                command.payee_account,
                amount_minor,
                self._currency,
                command.memo,
            )
            accounts = request.payer_account, request.payee_account
            parse_payment(request.payment_id, accounts, amount_minor, self._currency, command.memo)
        except (ValueError, Malformed) as error:
            raise CannotDo(str(error)) from error
        item = self._outbox.save(user, request)
        if not self._is_courier_busy() and self.is_logged_in:
            self._deliver(Delivery(self._outbox, self._client, user))
        return Sent(self._outbox.find(user, request.payment_id) or item)

    def _send_all(self) -> Outboxed:
        user = self._demand_user()
        if not self.is_logged_in:
            raise CannotDo(f"log in first: login {user}")
        before = self._outbox.waiting(user)
        if self._courier is not None:
            self._courier.join(self._patience_s)
        if not self._is_courier_busy():
            self._deliver(Delivery(self._outbox, self._client, user))
        found = (self._outbox.find(user, item.request.payment_id) for item in before)
        return Outboxed(tuple(item for item in found if item is not None))

    def _deliver(self, delivery: Delivery) -> None:
        """Try for a while to send what waits; leave the rest to the courier."""
        try:
            delivery.deliver_all(until=self._leaving, patience_s=self._patience_s)
        except Undelivered as error:
            self._note(error)
            return
        self.is_away = bool(self._outbox.waiting(self.user))
        if self.is_away:
            self._start_courier()

    def _note(self, error: Undelivered) -> None:
        if isinstance(error.__cause__, NotLoggedIn):
            self.is_logged_in = False
            raise CannotDo(f"{error}; `login {self.user}`: {self.count_waiting()} payments wait") from error
        raise CannotDo(str(error)) from error

    def _is_courier_busy(self) -> bool:
        return self._courier is not None and self._courier.is_alive()

    def _start_courier(self) -> None:
        if not self._is_courier_busy():
            delivery = Delivery(self._outbox, self._client, self.user, self._on_report)
            self._courier = threading.Thread(target=self._carry, args=(delivery,), daemon=True, name="courier")
            self._courier.start()

    def _carry(self, delivery: Delivery) -> None:
        try:
            while self._outbox.waiting(self.user) and not self._leaving.is_set():
                delivery.deliver_all(until=self._leaving)
        except (Undelivered, ClientError):
            self.is_logged_in = False

    def _on_report(self, item: Item, _: str) -> None:
        self.is_away = not item.state.is_final
        if item.state.is_final:
            self._tell(item)
