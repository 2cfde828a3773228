"""A bank as a simulated process."""

from typing import TYPE_CHECKING

from nodes.bank import turn as bank_turn
from nodes.bank.conversions import write_cut
from nodes.bank.store import BankStore
from nodes.core.authority import Grant, is_rightful
from nodes.core.chain import Head, Heard
from nodes.core.ledger import Ledger
from nodes.core.messages import Prepare
from nodes.core.participant import Participant
from tests.simulator.gateway import GATEWAY
from tests.simulator.network import Message

if TYPE_CHECKING:
    from tests.simulator.world import World

_FAR_OFF = 2**62
_STREAM = "stream"


class Bank:
    """Gathers what arrives; takes turns; says what may be said, and may die between any two words."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self._world = world
        self.store = BankStore(world.disks[name].connection)
        self.ledger = Ledger(self.store.find_account, self.store.holds())
        self.ledger._CACHED_ACCOUNTS_MAX = world.cached_accounts
        self.participant = Participant(name, self.ledger)
        self.inbox: list[bank_turn.Event] = []

    # -- what arrives -----------------------------------------------------------

    def open(self, message: Message) -> None:
        """Let the gateway open its stream; it says what it has heard of this bank's chain."""
        self.inbox.append(bank_turn.Opened((_STREAM, message.body)))

    def receive(self, message: Message) -> None:
        """Take a message of the gateway's stream; each prepare is judged by the login that it names."""
        epoch, (prepares, decides, head, marker) = message.body
        if head is not None:
            self.store.chain.hear(GATEWAY, head)
        judged = [prepare._replace(is_rightful=_is_rightful(prepare)) for prepare in prepares]
        cut = (marker.cut, marker.keeps_books) if marker else (0, False)
        self.inbox.append(bank_turn.Received(judged, decides, (_STREAM, epoch), 1, *cut))

    def receive_decisions(self, message: Message) -> None:
        """Take the answer to an inquiry."""
        self.inbox.append(bank_turn.Received([], message.body, None))

    # -- what it does -----------------------------------------------------------

    def ask(self) -> None:
        """Ask the gateway about all that is in doubt."""
        in_doubt = self.participant.in_doubt()
        if in_doubt:
            self._world.network.send(self.name, GATEWAY, "inquire", in_doubt)

    def turn(self) -> None:
        """Take a turn; each thing said afterwards may be the last."""
        world = self._world
        events, self.inbox = self.inbox, []
        held = dict(self.ledger.holds)
        world.coverage.look_at_bank(self.ledger, self.store, events)
        answers = bank_turn.take_turn(self.participant, self.store, events, world.now_ms * 1000)
        world.witness.bank_turned(self, events, answers, held)
        for said in answers:
            if said.stream is None:
                continue
            world.may_die(self.name, "before answering")
            if said.number == 0:
                body = said.in_doubt, *self._compare(said.stream[1])
                world.network.send(self.name, GATEWAY, "hear_opening", body)
            else:
                cut = None if said.cut is None else write_cut(said.cut, self.name)
                answer = said.stream[1], cut, self.store.chain.head, said.votes, said.contradictions
                world.network.send(self.name, GATEWAY, "hear", answer)

    def _compare(self, heard: Heard | None) -> tuple[Heard | None, Head | None, Heard | None]:
        """Return what the gateway has heard, this bank's link of that number, and what it has heard itself."""
        link = self.store.chain.head_at(heard.number) if heard else None
        return heard, link, self.last_heard()

    def last_heard(self) -> Heard | None:
        """Return the newest that is on record here of the gateway's chain."""
        return next((told for told in self.store.chain.last_heard() if told.node == GATEWAY), None)


def _is_rightful(prepare: Prepare) -> bool:
    """Judge as `nodes.bank.conversions` does; a login is the name of whose it is, and always holds."""
    fields, authority = (*prepare[:2], *prepare[3:8]), prepare.authority
    if authority is None:
        return False
    return is_rightful(fields, authority.fingerprint, authority.taken_at_us, Grant(authority.login, 0, _FAR_OFF))
