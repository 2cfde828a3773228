"""One schedule: a safety phase full of faults, then a liveness phase in which everything must end."""

from collections.abc import Callable
from typing import NamedTuple

from tests.simulator.checkers import Violation, check_liveness, check_safety
from tests.simulator.world import BANKS, Message, World

NODES = ("gateway", *BANKS)
_STEPS = 200
_CALM_ROUNDS = 60


class Result(NamedTuple):
    """How a schedule went. ``digest`` is the same for the same seed and the same rules."""

    seed: int
    events: int
    digest: str
    violation: str


def run_schedule(seed: int, log: list[str] | None = None) -> Result:
    """Run one schedule; what was found is in the result. Lines of what happened go to ``log``."""
    world = World(seed)
    world.log = log
    violation = ""
    try:
        _have_a_bad_day(world)
        check_safety(world)
        _come_to_rest(world)
        check_liveness(world)
    except Exception as error:  # whatever the rules do wrong is a finding
        violation = f"{type(error).__name__}: {error}"
    return Result(seed, world.events, world.digest.hexdigest(), violation)


def _have_a_bad_day(world: World) -> None:
    """Choose what happens next, many times.

    How often each thing happens is this schedule's own choice (swarm testing): what
    only shows when something hardly ever happens, or happens all the time, is met too.
    """
    choose = world.random
    lose, double = choose.choice([0, 0.02, 0.2]), choose.choice([0, 0.02, 0.2])
    rush = choose.choice([1, 1, 3])
    world.crash_rate = choose.choice([0, 0.01, 0.05])
    for node in BANKS:
        world.send(Message(node, "open", None))
    happenings: list[tuple[int, Callable[[], None]]] = [
        (24, lambda: _deliver_any(world, lose, double, rush)),
        (16, lambda: _turn_any(world)),
        (4, world.want_payment),
        (6, world.ask_again),
        (2, lambda: _let_time_pass(world)),
        (2, lambda: _ask(world, choose.choice(BANKS))),
        (1, lambda: _kill(world, choose.choice(NODES))),
        (2, lambda: _kill(world, "gateway")),
        (6, lambda: _restart_any(world)),
        (1, lambda: world.send(Message(choose.choice(BANKS), "open", None))),
        (1, lambda: _cut_or_heal(world, choose.choice(BANKS))),
    ]
    weights = [weight * choose.choice([0.5, 1, 2]) for weight, _ in happenings]
    actions = [action for _, action in happenings]
    for action in choose.choices(actions, weights, k=_STEPS):
        action()
    world.crash_rate = 0.0


def _deliver_any(world: World, lose: float, double: float, rush: int) -> None:
    """Deliver a message, lose it, or deliver and keep it; the larger ``rush``, the longer old ones lie about."""
    if not world.bag:
        return
    at = max(world.random.randrange(len(world.bag)) for _ in range(rush))
    fate = world.random.random()
    message = world.bag[at]
    if world.is_held_up(message):
        return
    if fate >= double:
        world.bag[at] = world.bag[-1]
        world.bag.pop()
    if fate < 1 - lose:
        world.deliver(message)


def _turn_any(world: World) -> None:
    waiting = [node for node in NODES if world.has_heard(node)]
    if waiting:
        world.turn(world.random.choice(waiting))


def _let_time_pass(world: World) -> None:
    world.now_ms += world.random.choice([1, 500, 2500])
    world.note("time")
    world.turn("gateway")


def _ask(world: World, name: str) -> None:
    bank = world.banks[name]
    if bank is not None:
        world.note("ask", name)
        bank.ask()


def _kill(world: World, node: str) -> None:
    world.note("kill", node)
    world.crash(node)


def _cut_or_heal(world: World, bank: str) -> None:
    world.note("cut or heal", bank)
    world.cut ^= {bank}


def _restart_any(world: World) -> None:
    down = [name for name in NODES if (world.gateway if name == "gateway" else world.banks[name]) is None]
    if down:
        world.restart(world.random.choice(down))


def _come_to_rest(world: World) -> None:
    """Stop all faults, start what is down, and go on until nothing is left to do."""
    world.note("calm")
    world.cut.clear()
    for node in NODES:
        if (world.gateway if node == "gateway" else world.banks[node]) is None:
            world.restart(node)
    for name in BANKS:
        world.send(Message(name, "open", None))
    for _ in range(_CALM_ROUNDS):
        while world.bag:
            world.deliver(world.bag.pop(0))
            for node in NODES:
                world.turn(node)
        waiting = [told for told in world.told.values() if not told.is_final]
        if not waiting and not any(bank and bank.ledger.holds for bank in world.banks.values()):
            return
        for told in waiting:
            world.send(Message("gateway", "pay", ("client", told.payment)))
        for name in BANKS:
            _ask(world, name)
        world.now_ms += 1000
        world.turn("gateway")
    raise Violation(f"not at rest after {_CALM_ROUNDS} calm rounds")
