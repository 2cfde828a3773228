"""What a user does at the gateway, one command after another; knows no terminal.

Every payment is saved in the outbox before anything is sent. While the gateway is away
it waits there, and a courier goes on trying in the background (`courier`); the user is
told the id and which of the three it is: never sent, sent with the answer unknown, or
final. A login that is over is renewed when the password is at hand, else it is asked for.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from nodes.client import (
    Balances,
    Client,
    GatewayAway,
    Item,
    NotLoggedIn,
    Outbox,
    OutcomeUnknown,
    PaymentRequest,
    PaymentView,
    Session,
    new_payment_id,
)
from nodes.core.money import parse_amount
from nodes.core.violations import Malformed, parse_payment
from nodes.runtime.crash_points import reach
from orchestrator.shell.courier import Courier
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
from orchestrator.shell.passwords import Passwords

WATCH_EVERY_S = 1.0
_WATCHED_MAX = 100
_LAST_SEND_S = 1.0

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
    """The gateway is away: payments of this user are kept, and sent once it takes the login."""

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
    """What became of a payment so far: an item, final or waiting; ``trouble`` says what it waits for."""

    item: Item
    trouble: str = ""


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

    ``tell`` is told, on another thread, of items that end in the background. While there is
    trouble, `perform` waits for ``patience_s`` before it leaves a payment to the courier.
    """

    def __init__(
        self,
        client: Client,
        outbox: Outbox,
        currency: str,
        *,
        passwords: Passwords,
        tell: Callable[[Item], None],
        patience_s: float = 0.0,
    ) -> None:
        self.user = ""
        self.is_logged_in = False
        self.waiting_count = 0
        self._client = client
        self._outbox = outbox
        self._currency = currency
        self._passwords = passwords
        self._tell = tell
        self._patience_s = patience_s
        self._courier: Courier | None = None
        self._kept_password: str | None = None  # typed while the gateway was away; forgotten once it was tried

    @property
    def trouble(self) -> str:
        """Why payments wait; empty if none do, or they are on their way."""
        return self._courier.trouble if self._courier is not None else ""

    def finish(self) -> None:
        """Send what waits once more, before a shell ends that nobody types into."""
        if self._courier is not None and self.waiting_count:
            self._carry(self._courier)

    def close(self) -> None:
        """Stop sending; what waits stays in the outbox."""
        if self._courier is not None:
            self._courier.stop(_LAST_SEND_S)
            self._courier = None

    def perform(self, command: Command) -> Result:  # noqa: PLR0911 - one return a command
        """Carry a command out; raises `CannotDo`, or a `ClientError` of the gateway's."""
        match command:
            case LogIn(user):
                return self._log_in(user)
            case LogOut():
                return self._log_out()
            case ShowBalance(bank, user):
                return Seen(self._ask(lambda: self._client.balances(bank, user)))
            case Pay():
                return self._pay(command)
            case ShowHistory(count, user):
                page = self._ask(lambda: self._client.payments(count, user=user))
                return Listed(user or self.user, page.payments)
            case ShowPayment(payment_id, user):
                return Listed(user or self.user, (self._ask(lambda: self._client.payment(payment_id, user)),))
            case ListOutbox():
                return Outboxed(tuple(self._outbox.items(self._demand_courier().user)))
            case SendOutbox():
                return self._send_all()
            case CancelItem(payment_id):
                return self._cancel(payment_id)
            case _:
                raise AssertionError(f"{command} is the terminal's business")

    def watch(self) -> Iterator[Listed]:
        """Yield payments that come about, each once, for as long as the caller likes."""
        known = {(view.payment_id, view.payer_account) for view in self._newest()}
        while True:
            time.sleep(WATCH_EVERY_S)
            views = self._newest()
            new = tuple(view for view in views if (view.payment_id, view.payer_account) not in known)
            known.update((view.payment_id, view.payer_account) for view in new)
            yield Listed(self.user, new)

    def _newest(self) -> tuple[PaymentView, ...]:
        return self._ask(lambda: self._client.payments(_WATCHED_MAX)).payments

    # -- logins -----------------------------------------------------------------

    def _log_in(self, user: str) -> Result:
        if self.is_logged_in:
            raise CannotDo(f"{self.user} is logged in; `logout` first")
        password = self._passwords.find_or_ask(user)
        if password is None:
            raise CannotDo("no terminal to ask for the password at: give --password-file, or set CLUSTER_PASSWORD")
        try:
            session = self._client.log_in(user, password)
        except (GatewayAway, OutcomeUnknown):
            self._kept_password = password
            self._serve(user).wake()
            return NamedOnly(user)
        self.is_logged_in = True
        courier = self._serve(session.user)
        waiting = tuple(self._outbox.waiting(session.user))
        if waiting:
            courier.wake()
        return LoggedIn(session, waiting)

    def _serve(self, user: str) -> Courier:
        self.close()
        self.user = user
        self._recount()
        self._courier = Courier(
            self._outbox,
            self._client,
            user,
            is_logged_in=self.is_logged_in,
            log_in_again=self._log_in_again,
            tell=self._on_end,
        )
        return self._courier

    def _log_out(self) -> LoggedOut:
        user = self._demand_courier().user
        self.close()
        try:
            if self.is_logged_in:
                self._client.log_out()
        finally:
            self.user, self.is_logged_in, self.waiting_count, self._kept_password = "", False, 0, None
        return LoggedOut(user)

    def _log_in_again(self) -> bool:
        """Log in if the password is at hand; on the courier's thread as well, so nobody is asked."""
        return self._try_password(self._kept_password or self._passwords.find(self.user))

    def _try_password(self, password: str | None) -> bool:
        self.is_logged_in = False
        if password is not None:
            try:
                self._client.log_in(self.user, password)
                self.is_logged_in = True
                reach("client.login.renewed")
            except NotLoggedIn:
                pass
            self._kept_password = None
        return self.is_logged_in

    def _demand_courier(self) -> Courier:
        if self._courier is None:
            raise CannotDo("log in first: login alice")
        return self._courier

    def _ask(self, call: Callable[[], T]) -> T:
        """Ask the gateway something, with a login that holds."""
        courier = self._demand_courier()
        try:
            try:
                return call()
            except NotLoggedIn:
                if not (self._log_in_again() or self._try_password(self._passwords.find_or_ask(self.user))):
                    raise
                return call()
        except NotLoggedIn as error:
            raise CannotDo(f"{error}; write: login {self.user}") from error
        except (GatewayAway, OutcomeUnknown):
            # The courier finds out when it is back.
            courier.wake()
            raise

    # -- payments ---------------------------------------------------------------

    def _pay(self, command: Pay) -> Sent:
        courier = self._demand_courier()
        request = self._write_request(courier.user, command)
        reach("client.payment.unsaved")
        item = self._outbox.save(courier.user, request)
        reach("client.payment.saved-untold")
        self._recount()
        self._carry(courier, request.payment_id)
        return Sent(self._outbox.find(courier.user, request.payment_id) or item, courier.trouble)

    def _write_request(self, user: str, command: Pay) -> PaymentRequest:
        accounts = f"{user}@{command.from_bank}", command.payee_account
        try:
            amount_minor = parse_amount(command.amount, self._currency)
            request = PaymentRequest(new_payment_id(), *accounts, amount_minor, self._currency, command.memo)
            parse_payment(request.payment_id, accounts, amount_minor, self._currency, command.memo)
        except (ValueError, Malformed) as error:
            raise CannotDo(str(error)) from error
        return request

    def _send_all(self) -> Outboxed:
        courier = self._demand_courier()
        before = self._outbox.waiting(courier.user)
        self._carry(courier)
        found = (self._outbox.find(courier.user, item.request.payment_id) for item in before)
        return Outboxed(tuple(item for item in found if item is not None))

    def _cancel(self, payment_id: str) -> Sent:
        item = self._outbox.cancel(self._demand_courier().user, payment_id)
        self._recount()
        return Sent(item)

    def _carry(self, courier: Courier, payment_id: str = "") -> None:
        """Have what waits sent; if it waits for a login, ask for the password."""
        courier.carry(payment_id, within_s=self._patience_s)
        if courier.is_login_needed and self._try_password(self._passwords.find_or_ask(courier.user)):
            courier.carry(payment_id, within_s=self._patience_s)
        self._recount()

    def _on_end(self, item: Item) -> None:
        self._recount()
        self._tell(item)

    def _recount(self) -> None:
        self.waiting_count = len(self._outbox.waiting(self.user))
