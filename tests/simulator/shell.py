"""A user's shell as a simulated process: the real outbox and the real delivery, on a disk in memory.

`Delivery` calls its client and waits. So does this client: while it waits the schedule
goes on, and the call ends when its answer has arrived, when its time is over, or when
the shell is killed in the middle of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import apsw

from nodes.client import outbox as client_outbox
from nodes.client.client import Client, PaymentRequest, PaymentResult, PaymentView
from nodes.client.delivery import Delivery, Undelivered
from nodes.client.errors import (
    Broken,
    ClientError,
    GatewayAway,
    IdUsed,
    NotFound,
    NotLoggedIn,
    OutcomeUnknown,
    Overloaded,
)
from nodes.client.outbox import CannotCancel, Outbox
from nodes.core.coordinator import Answer, BankAway, BankUnknown, Contradicted, Decided, Differs
from nodes.core.coordinator import Overloaded as GatewayOverloaded
from nodes.core.messages import Payment
from nodes.core.violations import parse_payment
from tests.simulator.disk import Disk, Killed, make_image
from tests.simulator.gateway import GATEWAY, Call
from tests.simulator.network import Message

if TYPE_CHECKING:
    from tests.simulator.world import World

OUTBOX_IMAGE = make_image(client_outbox._SCHEMA)
_A_FILE_THAT_IS_THERE = Path(__file__)


class DiskOutbox(Outbox):
    """The real outbox, on a simulated disk."""

    def __init__(self, disk: Disk, world: "World") -> None:
        super().__init__(_A_FILE_THAT_IS_THERE, clock=lambda: world.now_ms / 1000)
        self._disk = disk

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        yield self._disk.connection


class LoneDelivery(Delivery):
    """The real delivery, without the lock between processes: each user has one shell here."""

    @contextmanager
    def _alone(self, until: Event, patience_s: float | None) -> Iterator[bool]:
        yield True


class Patience(Event):
    """How long a shell goes on: the schedule says so."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def is_set(self) -> bool:
        """Tell whether the user has had enough."""
        return self._world.phase.loses_patience()

    def wait(self, timeout: float | None = None) -> bool:
        """Pause between two tries, while the schedule goes on."""
        self._world.phase.play_on()
        return False


class Shell(Client):
    """One user's shell, and the client that its delivery calls."""

    def __init__(self, user: str, world: "World") -> None:
        # No line to a gateway is opened: the calls below are all that is called.
        self.user = user
        self.is_killed = False
        self.is_delivering = False
        self._has_saved = False
        self.outbox = DiskOutbox(world.disks[user], world)
        self._world = world
        self._delivery = LoneDelivery(self.outbox, self, user)
        self._patience = Patience(world)
        self._calls = 0
        self._awaited = 0
        self._answer: Any = None

    # -- what the user does -----------------------------------------------------

    def save(self, request: PaymentRequest) -> None:
        """Save a payment, and tell the user that it will be sent."""
        self._has_saved = True
        with self._in_danger():
            self.outbox.save(self.user, request)
            self._world.witness.promised(self.user, request)

    def cancel(self, payment_id: str) -> None:
        """Cancel a payment, if that can still be."""
        with self._in_danger(), suppress(CannotCancel):
            self.outbox.cancel(self.user, payment_id)

    def deliver(self) -> None:
        """Send what waits, in order, until it has ended or the user has had enough."""
        if self.is_delivering or not self._has_saved:
            return
        self.is_delivering = True
        with self._in_danger(), suppress(Undelivered):
            self._delivery.deliver_all(until=self._patience)
        self.is_delivering = self.is_killed = False

    @contextmanager
    def _in_danger(self) -> Iterator[None]:
        disk = self._world.disks[self.user]
        self._world.endanger(self.user)
        try:
            yield
        except Killed:
            self._world.note("dead", self.user)
            disk.tear_off()
        disk.disarm()

    # -- what its delivery calls ------------------------------------------------

    def pay(self, request: PaymentRequest) -> PaymentResult:
        """Ask for a payment, and wait."""
        payment = _read(request)
        self._world.witness.sends(self.user, payment)
        answer = self._ask("pay", payment)
        if isinstance(answer, Decided):
            decision = answer.decision
            reason = decision.reason.name.lower() if decision.reason else ""
            return PaymentResult(request.payment_id, decision.outcome.name.lower(), reason, answer.replayed)
        raise answer if isinstance(answer, ClientError) else _explain(answer)

    def payment(self, payment_id: str) -> PaymentView:
        """Ask how a payment stands, and wait."""
        item = self.outbox.find(self.user, payment_id)
        assert item is not None, "who looks back has sent it"
        answer = self._ask("look", _read(item.request))
        if isinstance(answer, ClientError):
            raise answer
        assert isinstance(answer, PaymentView)
        return answer

    def answer(self, message: Message) -> None:
        """Take an answer; one that nobody waits for any more is dropped."""
        call, answer = message.body
        if call.number == self._awaited:
            self._answer = answer

    def _ask(self, kind: str, payment: Payment) -> Any:
        world = self._world
        world.may_die(self.user, "before sending")
        if world.happens(0.02):
            raise NotLoggedIn("the login is over")
        if world.gateway is None:
            raise GatewayAway("nobody listens")
        self._calls += 1
        self._awaited, self._answer = self._calls, None
        world.network.send(self.user, GATEWAY, kind, Call(self.user, self._calls, payment))
        while self._answer is None:
            if self.is_killed:
                raise Killed
            if world.phase.gives_up():
                self._awaited = 0
                raise OutcomeUnknown("no answer in time")
            world.phase.play_on()
        if self.is_killed:
            raise Killed
        return self._answer


def _read(request: PaymentRequest) -> Payment:
    accounts = request.payer_account, request.payee_account
    return parse_payment(request.payment_id, accounts, request.amount_minor, request.currency, request.memo)


def _explain(answer: Answer) -> ClientError:
    """Say it as the client library would have read it from the wire."""
    match answer:
        case Differs(field):
            return IdUsed(f"{field} differs")
        case BankUnknown(bank, _):
            return NotFound(f"there is no bank {bank}")
        case BankAway(bank):
            return GatewayAway(f"{bank} is away")
        case GatewayOverloaded():
            return Overloaded("too many payments are under way")
        case Contradicted(bank):
            return Broken(f"{bank} has it otherwise")
        case _:
            raise AssertionError(answer)
