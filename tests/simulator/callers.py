"""Clients without an outbox: they want, and ask again with the same or another body."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodes.client.errors import ClientError
from nodes.core.coordinator import BankUnknown, Decided, Differs
from nodes.core.messages import Payment, PaymentKey
from tests.simulator.gateway import GATEWAY, Call
from tests.simulator.network import Message

if TYPE_CHECKING:
    from tests.simulator.world import World

CALLERS = "callers"
_AMOUNTS_MINOR = (1, 50, 120, 250, 301)


@dataclass
class Wish:
    """A payment that somebody wants; ``is_answered`` once what was said of it is final."""

    payment: Payment
    is_answered: bool = False


class Callers:
    """Everybody who calls the gateway from a program of their own."""

    def __init__(self, world: "World") -> None:
        self.wishes: dict[PaymentKey, Wish] = {}
        self._world = world
        # In a small world all that happens, happens to few payments.
        self._payers, self._ids = world.random.choice([(1, 1), (1, 1), (2, 1), (3, 2)])

    def want(self) -> None:
        """Want to move money that may or may not be there."""
        # A few ids, so that users share them: ids are each user's own.
        payment_id = bytes([self._world.random.randrange(self._ids)]) * 16
        payment = draw_payment(self._world, payment_id, self._payers)
        if payment.key not in self.wishes:
            self.wishes[payment.key] = Wish(payment)
            self._world.note("want", payment)
            self._send(payment)

    def ask_again(self) -> None:
        """Send a payment again: mostly the same, now and then with a changed body."""
        if self.wishes:
            payment = self._world.random.choice(list(self.wishes.values())).payment
            if self._world.random.random() < 0.3:
                payment = self._change(payment)
            self._world.note("again", payment)
            self._send(payment)

    def take_id(self) -> None:
        """Use the id of a payment that waits in a shell's outbox for another payment of the same user."""
        promised = list(self._world.witness.promises)
        if promised:
            payment = self._change(self._world.random.choice(promised))
            self._world.note("take id", payment)
            self._send(payment)

    def insist(self) -> bool:
        """Send all again that has no answer; tell whether there was any."""
        waiting = [wish.payment for wish in self.wishes.values() if not wish.is_answered]
        for payment in waiting:
            self._send(payment)
        return bool(waiting)

    def answer(self, message: Message) -> None:
        """Take an answer."""
        call, answer = message.body
        wish = self.wishes.get(call.payment.key)
        if wish is not None and wish.payment == call.payment:
            is_final = isinstance(answer, Decided | Differs | BankUnknown)
            wish.is_answered = wish.is_answered or (is_final and not isinstance(answer, ClientError))

    def _send(self, payment: Payment) -> None:
        self._world.witness.asked(payment)
        self._world.network.send(CALLERS, GATEWAY, "pay", Call(CALLERS, 0, payment))

    def _change(self, payment: Payment) -> Payment:
        """Make another body for the same id: any one field of it is another."""
        choose = self._world.random
        banks = [bank for bank in self._world.bank_names if bank not in (payment.payer_bank, payment.payee_bank)]
        payees = [user for user in self._world.users if user not in (payment.payer, payment.payee)]
        changed: list[dict[str, Any]] = [
            {"amount_minor": payment.amount_minor + 1},
            {"payer_bank": choose.choice(banks)},
            {"payee_bank": choose.choice(banks)},
            {"payee": choose.choice(payees)},
            {"currency": "USD"},
            {"memo": "rent"},
        ]
        return payment._replace(**choose.choice(changed))


def draw_payment(world: "World", payment_id: bytes, payers: int) -> Payment:
    """Make up a payment of one of the first users."""
    choose = world.random
    payer = choose.choice(world.users[:payers])
    payer_bank, payee_bank = choose.choice(world.bank_names), choose.choice(world.bank_names)
    if choose.random() < 0.02:
        payee_bank = "NOWHERE"
    payees = [user for user in world.users if user != payer or payer_bank != payee_bank]
    if choose.random() < 0.05:
        payees = ["nobody"]
    return Payment(
        payment_id, payer, payer_bank, choose.choice(payees), payee_bank, choose.choice(_AMOUNTS_MINOR), "INR", ""
    )
