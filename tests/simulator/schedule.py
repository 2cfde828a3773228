"""One schedule: a safety phase full of faults, then a liveness phase in which everything must end."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nodes.client.client import PaymentRequest
from nodes.client.outbox import EXPIRES_AFTER_S
from nodes.core.authority import Authority, fingerprint
from nodes.core.messages import Prepare
from tests.simulator.callers import draw_payment
from tests.simulator.gateway import GATEWAY, TIMEOUT_MS
from tests.simulator.invariants import check_old_copies, check_rest, check_safety, write_id
from tests.simulator.network import Message
from tests.simulator.violation import Violation, demand
from tests.simulator.world import BANKS, NODES, USERS, World

_STEPS = 200
_STEPS_BETWEEN_CHECKS = 50
_CALM_STEPS = 3000
_COPIED_EVERY = 8
"""In which schedules the disks are copied half way through the bad day: that takes half a millisecond."""
_SWARM = {False: (0.5, 1, 2), True: (0, 0, 1, 2)}
"""By how much the weight of a happening is changed for one schedule; some are left out at times."""


class Result(NamedTuple):
    """How a schedule went. ``digest`` is the same for the same seed and the same rules."""

    seed: int
    events: int
    digest: str
    violation: str
    reached: Counter[str]
    noticed: int
    """How many old copies of disks were found out, of those that somebody could know of."""
    cuts: int
    """How many cuts were taken and looked at."""


def run_schedule(seed: int, log: list[str] | None = None, *, is_covered: bool = False) -> Result:
    """Run one schedule; what was found is in the result. Lines of what happened go to ``log``.

    ``is_covered`` counts which rows of the state tables are met; it takes a tenth of the time.
    """
    world = World(seed, log)
    world.coverage.is_on = is_covered
    violation, noticed = "", 0
    world.is_copied = seed % _COPIED_EVERY == 0
    try:
        BadDay(world).pass_by()
        check_safety(world)
        Rest(world).come_to_an_end()
        check_rest(world)
        noticed = check_old_copies(world)
    except Exception as error:  # whatever the rules do wrong is a finding
        violation = f"{type(error).__name__}: {error}"
    world.end()
    return Result(
        seed, world.events, world.digest.hexdigest(), violation, world.coverage, noticed, world.witness.cuts
    )


class BadDay:
    """The safety phase: what happens next is chosen, many times.

    How often each thing happens is this schedule's own choice (swarm testing): what
    only shows when something hardly ever happens, or happens all the time, is met too.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        choose = world.random
        world.network.lose, world.network.double = (
            choose.choice([0, 0.02, 0.2]),
            choose.choice([0, 0.05, 0.2, 0.5]),
        )
        world.network.rush = choose.choice([1, 1, 3])
        world.crash_rate = choose.choice([0, 0.01, 0.05])
        world.phase = self
        happenings = self._happenings()
        weights = [weight * choose.choice(_SWARM[is_optional]) for weight, is_optional, _ in happenings]
        self._to_come = choose.choices([action for *_, action in happenings], weights, k=_STEPS)

    def pass_by(self) -> None:
        """Let all of it happen."""
        for bank in BANKS:
            self._world.open_stream(bank)
        while self._to_come:
            self.play_on()
        self._world.crash_rate = 0.0

    # -- what somebody who waits asks for ---------------------------------------

    def play_on(self) -> None:
        """Let the next thing happen."""
        if self._to_come:
            self._to_come.pop()()
            if self._world.is_copied and len(self._to_come) == _STEPS // 2:
                self._world.copy_disks()
            if len(self._to_come) % _STEPS_BETWEEN_CHECKS == 0:
                check_safety(self._world)

    def gives_up(self) -> bool:
        """Tell whether the time of a call is over."""
        return not self._to_come or self._world.random.random() < 0.05

    def loses_patience(self) -> bool:
        """Tell whether a user stops trying."""
        return not self._to_come or self._world.random.random() < 0.3

    # -- what can happen --------------------------------------------------------

    def _happenings(self) -> list[tuple[float, bool, Callable[[], None]]]:
        """Return (weight, whether it may be left out, what happens)."""
        world = self._world
        return [
            (30, False, self._deliver_any),
            (12, False, self._turn_any),
            (5, True, self._deliver_old),
            (2, True, self._go_well),
            (0.5, True, self._gather),
            (4, False, world.callers.want),
            (6, False, world.callers.ask_again),
            (0.5, False, world.callers.take_id),
            (2, True, self._save),
            (3, False, self._send),
            (1.5, False, self._cancel),
            (2, False, self._let_time_pass),
            (3, False, lambda: self._ask(world.random.choice(BANKS))),
            (1, False, lambda: world.open_stream(world.random.choice(BANKS))),
            (6, False, self._start_any),
            (0.5, True, self._kill_shell),
            (0.7, True, self._suspend_or_readmit),
            (2, True, self._suspend_for_one_call),
            (0.7, True, lambda: self._kill(world.random.choice(NODES))),
            (0.5, True, lambda: self._kill(GATEWAY)),
            (1, True, self._restart_gateway),
            (0.5, True, self._break_stream),
            (1, True, self._cut_or_heal),
            (0.5, True, self._order_for_another),
            (1, True, self._pause_or_resume),
            (6 if world.network.is_orderly else 0, False, self._take_cut),
            (4 if world.network.is_orderly else 0, False, self._ask_past_markers),
        ]

    def _deliver_any(self) -> None:
        """Let a message arrive; half of the time it is acted on at once, else more may gather."""
        message = self._world.network.take_any()
        if message is not None:
            self._world.deliver(message)
            if message.to in NODES and self._world.random.random() < 0.5:
                self._world.turn(message.to)

    def _order_for_another(self) -> None:
        """Let the gateway go wrong: it asks a bank for what a user pays, with the login of another."""
        world = self._world
        bank, (payer, other) = world.random.choice(BANKS), world.random.sample(USERS, 2)
        fields = world.random.randbytes(16), payer, bank, other, bank, 1, "INR"
        authority = Authority(other, fingerprint(fields), world.now_ms * 1000)
        epoch = world.gateway.coordinator.epoch if world.gateway else 1
        prepare = Prepare(*fields[:2], epoch, *fields[2:], authority)
        world.network.send(GATEWAY, bank, "receive", (epoch, ([prepare], [], None, None)))

    def _deliver_old(self) -> None:
        """Let something arrive again that had arrived before, however long ago."""
        old, choose = self._world.network.delivered, self._world.random
        if old:
            self._world.deliver(old[min(choose.randrange(len(old)), choose.randrange(len(old)))])

    def _go_well(self, *kinds: str) -> None:
        """Let all (of certain kinds) that is on its way now arrive, in order, and be acted on."""
        world = self._world
        for message in list(world.network.bag):
            if (not kinds or message.kind in kinds) and world.network.take(message):
                world.deliver(message)
                if message.to in NODES:
                    world.turn(message.to)

    def _gather(self) -> None:
        """Let all that is on its way arrive before anybody acts on it: turns are large then."""
        world = self._world
        for message in list(world.network.bag):
            if world.network.take(message):
                world.deliver(message)
        for node in NODES:
            world.turn(node)

    def _turn_any(self) -> None:
        world = self._world
        waiting = [node for node in NODES if (process := world.process(node)) is not None and process.inbox]
        if waiting:
            world.turn(world.random.choice(waiting))

    def _save(self) -> None:
        """Let a user write a payment into the outbox; they send it when they come to it."""
        world = self._world
        number = len(world.witness.promises) + 100
        payment = draw_payment(world, bytes([number]) * 16, len(USERS))
        world.note("save", payment)
        world.shells[payment.payer].save(
            PaymentRequest(
                write_id(payment.payment_id),
                f"{payment.payer}@{payment.payer_bank}",
                f"{payment.payee}@{payment.payee_bank}",
                payment.amount_minor,
                payment.currency,
            )
        )

    def _send(self) -> None:
        self._world.shells[self._world.random.choice(USERS)].deliver()

    def _cancel(self) -> None:
        promised = list(self._world.witness.promises)
        if promised:
            payment = self._world.random.choice(promised)
            self._world.note("cancel", payment)
            self._world.shells[payment.payer].cancel(write_id(payment.payment_id))

    def _kill_shell(self) -> None:
        """Kill a shell in the middle of a call; what it was about to do, the next one finds on its disk."""
        shell = self._world.shells[self._world.random.choice(USERS)]
        self._world.note("kill", shell.user)
        shell.is_killed = shell.is_delivering

    def _suspend_or_readmit(self) -> None:
        """Let a user lose the right to pay, or get it back."""
        user = self._world.random.choice(USERS)
        self._world.note("suspend or readmit", user)
        self._world.suspended ^= {user}

    def _suspend_for_one_call(self) -> None:
        """Let a call that was sent again find its user suspended: the one before may come later, and find not."""
        world = self._world
        calls = [message for message in world.network.bag if message.kind == "pay" and message.sender in USERS]
        again = [call for at, call in enumerate(calls) if _is_among(call, calls[:at])]
        if again:
            user = again[-1].sender
            world.note("suspend for one call", user)
            world.suspended.add(user)
            if world.network.take(again[-1]):
                world.deliver(again[-1])
            world.suspended.discard(user)
            for answer in [message for message in world.network.bag if message.to == user][-1:]:
                if world.network.take(answer):
                    world.deliver(answer)

    def _let_time_pass(self) -> None:
        world = self._world
        is_long = world.random.random() < 0.05
        world.now_ms += EXPIRES_AFTER_S * 1001 if is_long else world.random.choice([1, 500, TIMEOUT_MS, 2500])
        if is_long:
            world.network.lose_calls()
        world.note("time")
        world.turn(GATEWAY)

    def _ask(self, name: str) -> None:
        bank = self._world.banks[name]
        if bank is not None and name not in self._world.paused:
            self._world.note("ask", name)
            bank.ask()

    def _kill(self, node: str) -> None:
        if self._world.process(node) is not None:
            self._world.kill(node)

    def _restart_gateway(self) -> None:
        """Let the gateway die and be back before anything else happens; what was on its way still is."""
        self._kill(GATEWAY)
        self._world.start(GATEWAY)
        for _ in range(2):
            self._go_well("open", "hear_opening")

    def _start_any(self) -> None:
        down = [node for node in NODES if self._world.process(node) is None]
        if down:
            self._world.start(self._world.random.choice(down))

    def _take_cut(self) -> None:
        """Let somebody want a cut; now and then one that is under way has taken too long."""
        gateway = self._world.gateway
        if gateway is not None and (not gateway.is_cutting or self._world.random.random() < 0.2):
            keeps_books = self._world.random.random() < 0.5
            self._world.note("want a cut", keeps_books)
            gateway.begin_cut(keeps_books=keeps_books)

    def _ask_past_markers(self) -> None:
        """While markers are on their way, let votes be counted, and a bank ask what became of what it holds."""
        gateway, bank = self._world.gateway, self._world.banks[self._world.random.choice(BANKS)]
        if gateway is not None and bank is not None and gateway.is_cutting:
            self._world.note("ask past markers", bank.name)
            self._go_well("hear")
            bank.ask()
            self._go_well("inquire")
            self._go_well("receive_decisions")

    def _break_stream(self) -> None:
        """Break a bank's stream: what is on its way is lost, and the gateway notices."""
        world = self._world
        bank = world.random.choice(BANKS)
        world.note("break", bank)
        world.break_stream(bank)
        if world.random.random() < 0.8:
            world.open_stream(bank)

    def _cut_or_heal(self) -> None:
        bank = self._choose_among(self._world.network.cut, BANKS)
        self._world.note("cut or heal", bank)
        self._world.network.cut ^= {bank}

    def _pause_or_resume(self) -> None:
        """Stop a node as SIGSTOP does, or let it go on: it hears, and does nothing, past every timeout."""
        node = self._choose_among(self._world.paused, NODES)
        self._world.note("pause or resume", node)
        self._world.paused ^= {node}

    def _choose_among(self, troubled: set[str], nodes: tuple[str, ...]) -> str:
        """Choose a node, mostly one that is troubled already: trouble is to pass."""
        is_to_pass = troubled and self._world.random.random() < 0.7
        return self._world.random.choice(sorted(troubled) if is_to_pass else nodes)


class Rest:
    """The liveness phase: faults stop, what is down starts, and all goes on until nothing is left to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._steps_left = _CALM_STEPS
        world.phase = self
        world.is_calm = True
        world.calm_since_ms = world.now_ms
        world.note("calm")
        world.network.calm_down()
        world.paused.clear()
        world.suspended.clear()

    def come_to_an_end(self) -> None:
        """Go on until everybody has an answer and nothing is in doubt; raise `Violation` if that never comes."""
        world = self._world
        for node in NODES:
            if world.process(node) is None:
                world.start(node)
        for bank in BANKS:
            world.open_stream(bank)
        while True:
            for shell in world.shells.values():
                shell.deliver()
            is_waiting = world.callers.insist()
            while world.network.bag:
                self.play_on()
            if not is_waiting and not any(bank and bank.ledger.holds for bank in world.banks.values()):
                self._take_last_cut()
                return
            self.play_on()

    def _take_last_cut(self) -> None:
        gateway = self._world.gateway
        if gateway is None or not self._world.network.is_orderly:
            return
        gateway.begin_cut(keeps_books=True)
        self._world.turn(GATEWAY)
        while self._world.network.bag:
            self.play_on()
        demand(not gateway.is_cutting, "I10 a cut comes to an end when nothing fails", gateway.markers.silent)

    def play_on(self) -> None:
        """Deliver the oldest message, or, when there is none, let time pass and banks ask."""
        world = self._world
        self._steps_left -= 1
        if not self._steps_left:
            raise Violation(f"I10 everything comes to an end: not within {_CALM_STEPS} calm steps")
        message = world.network.take_oldest()
        if message is not None:
            world.deliver(message)
            for node in NODES:
                if (process := world.process(node)) is not None and process.inbox:
                    world.turn(node)
            return
        for bank in world.banks.values():
            if bank is not None:
                bank.ask()
        world.now_ms += 1000
        world.turn(GATEWAY)

    def gives_up(self) -> bool:
        """Tell whether the time of a call is over; there is enough of it now."""
        return False

    def loses_patience(self) -> bool:
        """Tell whether a user stops trying; none does now."""
        return False


def _is_among(call: Message, others: Sequence[Message]) -> bool:
    return any((other.sender, other.body.payment) == (call.sender, call.body.payment) for other in others)
