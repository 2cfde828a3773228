"""The gateway as a simulated process: what is in it is lost when it dies."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from interbank.v1 import bank_pb2 as pb

from nodes.client.client import PaymentView
from nodes.client.errors import NotAllowed, NotFound
from nodes.core.authority import Authority, fingerprint
from nodes.core.chain import Heard, explain_head
from nodes.core.coordinator import Coordinator
from nodes.core.messages import Outcome, Payment, Reason
from nodes.core.violations import format_payment_id
from nodes.gateway import turn as gateway_turn
from nodes.gateway.bank_link import Batch
from nodes.gateway.heads import explain_told
from nodes.gateway.markers import Markers
from nodes.gateway.store import GatewayStore
from tests.simulator.network import Message

if TYPE_CHECKING:
    from tests.simulator.world import World

GATEWAY = "gateway"
TIMEOUT_MS = 2000
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Call(NamedTuple):
    """A client's request: who asks, which call of theirs it is, and for what."""

    client: str
    number: int
    payment: Payment


class Link:
    """The gateway's line to a bank, as far as turns and cuts need it."""

    def __init__(self, bank: str, world: "World", epoch: int) -> None:
        self.is_connected = False
        self._bank = bank
        self._world = world
        self._epoch = epoch

    def send(self, batch: Batch) -> None:
        """Say what a turn has for the bank; on a stream that is gone nothing can be said."""
        if batch.marker is not None:
            self._world.witness.marked((self._epoch, batch.marker.cut), batch.head)
        if self.is_connected or not self._world.network.is_orderly:
            self._world.network.send(GATEWAY, self._bank, "receive", (self._epoch, batch))


class Gateway:
    """Gathers what arrives; takes turns; says what may be said, and may die between any two words."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.store = GatewayStore(world.disks[GATEWAY].connection)
        self.coordinator = Coordinator(
            epoch=self.store.begin_epoch(),
            last_sequence=self.store.last_sequence(),
            timeout_ms=TIMEOUT_MS,
            capacity=world.capacity,
            bank_capacity=world.bank_capacity,
        )
        self.coordinator.connected.update(dict.fromkeys(world.bank_names, False))
        self.inbox: list[gateway_turn.Event] = []
        epoch = self.coordinator.epoch
        self.links = {bank: Link(bank, world, epoch) for bank in world.bank_names}
        self.markers = Markers(self.coordinator, self.store.chain, self.links)  # type: ignore[arg-type]
        self.is_cutting = False

    # -- what arrives -----------------------------------------------------------

    def pay(self, message: Message) -> None:
        """Take a client's request, unless the user is suspended."""
        call: Call = message.body
        if call.payment.payer in self._world.suspended:
            self._world.network.send(GATEWAY, message.sender, "answer", (call, NotAllowed("suspended")))
        else:
            payment = call.payment
            login = Authority(payment.payer, fingerprint(payment[:-1]), self._world.now_ms * 1000)
            self.inbox.append(gateway_turn.Begin(payment, call, login))

    def look(self, message: Message) -> None:
        """Tell a client how a payment of theirs stands, as `PaymentService.GetPayment` does."""
        call: Call = message.body
        user, key = call.payment.payer, call.payment.key
        answer: Any = NotFound(f"{user} has no such payment")
        if user in self._world.suspended:
            answer = NotAllowed("suspended")
        elif key in self.coordinator.open:
            answer = _view(self.coordinator.open[key].payment, Outcome.PENDING, Reason.NONE)
        else:
            for decision in self.store.decisions_of(call.payment.payment_id):
                if decision.payment.key == key:
                    answer = _view(decision.payment, decision.outcome, decision.reason)
        self._world.network.send(GATEWAY, message.sender, "answer", (call, answer))

    def last_heard(self, bank: str) -> Heard | None:
        """Return the newest that is on record here of a bank's chain."""
        return next((told for told in self.store.chain.last_heard() if told.node == bank), None)

    def hear_opening(self, message: Message) -> None:
        """Take the first message of a bank's stream: what is in doubt there, and what both have heard."""
        in_doubt, heard, link, told = message.body
        bank, witness = message.sender, self._world.witness
        witness.heads_compared(bank, heard and explain_head(heard, link, GATEWAY))
        witness.heads_compared(GATEWAY, told and explain_told(self.store.chain, (), bank, told))
        self.links[bank].is_connected = True
        self.inbox.append(gateway_turn.Connected(message.sender, in_doubt))

    def hear(self, message: Message) -> None:
        """Take a bank's answer on the stream, and the head of its chain."""
        epoch, cut, head, *said = message.body
        self.store.chain.hear(message.sender, head)
        if cut is not None and epoch == self.coordinator.epoch:
            # What comes on a stream of the gateway before this one goes nowhere.
            self.markers.take_answer(message.sender, cut)
        self.inbox.append(gateway_turn.Voted(message.sender, *said))

    def inquire(self, message: Message) -> None:
        """Take a bank's inquiry."""
        self.inbox.append(gateway_turn.Inquiry(message.sender, message.body, lambda _: None))

    def lose_stream(self, bank: str) -> None:
        """Notice that a bank's stream is gone."""
        self.links[bank].is_connected = False
        self.markers.lose(bank)
        self.inbox.append(gateway_turn.Disconnected(bank))

    # -- cuts -------------------------------------------------------------------

    def begin_cut(self, *, keeps_books: bool) -> None:
        """Take a cut; give the one up that is under way, as if it had taken too long."""
        self.markers.give_up()
        self.is_cutting = True
        self.markers.begin(self._end_cut, keeps_books=keeps_books)

    def _end_cut(self, banks: list[pb.BankCut], why: str) -> None:
        self.is_cutting = False
        self._world.note("cut", self.markers.number, why or "taken")
        if not why:
            number = self.coordinator.epoch, self.markers.number
            self._world.witness.cut_taken(number, self.markers.head, banks)

    # -- a turn -----------------------------------------------------------------

    def turn(self) -> None:
        """Take a turn; each thing said afterwards may be the last."""
        world = self._world
        events, self.inbox = self.inbox, []
        now = gateway_turn.Now(world.now_ms, world.now_ms * 1000)
        world.coverage.look_at_gateway(self.coordinator, self.store, events, world.now_ms)
        spoken = gateway_turn.take_turn(self.coordinator, self.store, events, now)
        world.witness.gateway_turned(spoken, self.coordinator.next_deadline_ms())
        effects = spoken.effects
        for bank in sorted({*effects.prepares, *effects.decides}):
            world.may_die(GATEWAY, "before telling a bank")
            said = effects.prepares.get(bank, []), effects.decides.get(bank, [])
            self.links[bank].send(Batch(*said, self.store.chain.head))
        self.markers.mark()
        for inquiry, decides in spoken.inquiries:
            world.may_die(GATEWAY, "before answering an inquiry")
            answer = partial(world.network.send, GATEWAY, inquiry.bank, "receive_decisions", decides)
            self.markers.answer_inquiry(answer)
        for call, answer in effects.answers:
            world.may_die(GATEWAY, "before answering a client")
            world.network.send(GATEWAY, call.client, "answer", (call, answer))


def _view(payment: Payment, outcome: Outcome, reason: Reason) -> PaymentView:
    return PaymentView(
        payment_id=format_payment_id(payment.payment_id),
        payer_account=f"{payment.payer}@{payment.payer_bank}",
        payee_account=f"{payment.payee}@{payment.payee_bank}",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        memo=payment.memo,
        outcome=outcome.name.lower(),
        reason=reason.name.lower() if reason else "",
        direction="outgoing",
        created_at=_SOME_TIME,
        decided_at=None,
    )
