"""What must hold, by its number in the list of invariants: read from the disks, held against what was seen.

Nothing here knows how it came about, and nothing here asks the stores (but for the hashes
of their chains): rows are read as they are. `SAFETY` holds at every moment, whatever is
under way; `REST` once faults have stopped and all has been delivered.

Not here: I13 at cuts, which `tests.simulator.cuts` looks at; I14 to I16 (identity, supervisor, secrets) have
no part in the rules.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import apsw

from nodes.bank.store import BankStore
from nodes.client.outbox import State
from nodes.gateway.heads import explain_told
from nodes.gateway.store import GatewayStore
from tests.simulator.violation import demand
from tests.simulator.witness import Witness
from tests.simulator.world import BANKS, GATEWAY, NODES, OPENING_MINOR, USERS, World

_COMMITTED, _DECLINED = 2, 3
_DECISIONS = (
    "SELECT epoch, payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, memo, outcome,"
    " sequence FROM decision"
)
_JOURNAL = (
    "SELECT payment_id, payer, epoch, outcome, debit_account, credit_account, amount_minor FROM journal"
    " ORDER BY sequence"
)
_HOLDS = "SELECT payment_id, payer, epoch, debit_account, credit_account, amount_minor FROM hold"
_ACCOUNTS = "SELECT name, posted, held, incoming FROM account"
_ITEMS = "SELECT user, payment_id, state FROM item"

Key = tuple[bytes, str]


class Ruling(NamedTuple):
    """A row of the gateway's decisions."""

    epoch: int
    fields: tuple
    outcome: int
    sequence: int


class Books(NamedTuple):
    """A bank's rows."""

    journal: list[tuple]
    holds: list[tuple]
    accounts: list[tuple]


class Evidence(NamedTuple):
    """All that is on the disks now, and what was seen before."""

    rulings: dict[Key, Ruling]
    banks: dict[str, Books]
    items: dict[tuple[str, str], int]
    seen: Witness


def gather(world: World) -> Evidence:
    """Read all disks."""
    rows = world.disks[GATEWAY].rows(_DECISIONS)
    rulings = {row[1:3]: Ruling(row[0], row[1:9], row[9], row[10]) for row in rows}
    banks = {name: Books(*map(world.disks[name].rows, (_JOURNAL, _HOLDS, _ACCOUNTS))) for name in BANKS}
    users = {payment.payer for payment in world.witness.promises}
    items = {row[:2]: row[2] for user in users for row in world.disks[user].rows(_ITEMS)}
    return Evidence(rulings, banks, items, world.witness)


def check_safety(world: World) -> None:
    """Check all that must hold at every moment."""
    evidence = gather(world)
    for invariant in SAFETY:
        invariant(evidence)


def check_rest(world: World) -> None:
    """Check all that must hold in the end."""
    evidence = gather(world)
    for invariant in (*SAFETY, *REST):
        invariant(evidence)
    for node in NODES:
        process = world.process(node)
        breaks = process.store.chain.find_breaks(whole=True) if process else ["is down"]
        demand(not breaks, f"I9 the chain of {node}'s records is whole", breaks)
    for key, wish in world.callers.wishes.items():
        demand(wish.is_answered, "I10 every caller has an answer in the end", key)


def check_old_copies(world: World) -> int:
    """Check that an old copy of a disk that comes back is noticed, by whoever has heard of more than it holds.

    Also when its node has gone on from there, until its chain is as long again. Return how many were noticed.
    """
    assert world.gateway is not None
    noticed = 0
    for node, image in world.copies.items():
        connection = apsw.Connection(":memory:")
        connection.deserialize("main", image)
        store: GatewayStore | BankStore
        if node == GATEWAY:
            store = GatewayStore(connection)
            heard = {name: bank.last_heard() for name, bank in world.banks.items() if bank is not None}
        else:
            store = BankStore(connection)
            heard = {GATEWAY: world.gateway.last_heard(node)}
        for listener, told in heard.items():
            if told is not None and told.number > store.chain.head.number:
                said = f"I9 an old copy of {node} is noticed"
                demand(explain_told(store.chain, (), listener, told), said, told)
                noticed += 1
        newest = max((told.number for told in heard.values() if told is not None), default=0)
        is_old = newest > store.chain.head.number
        while store.chain.head.number < newest:
            store.chain.append([], 0, acts=["something else"])
        if is_old:
            found = [explain_told(store.chain, (), listener, told) for listener, told in heard.items() if told]
            demand(any(found), f"I9 an old copy of {node} that went on is noticed", newest)
    return noticed


# -- at every moment ------------------------------------------------------------


def i1_money_is_neither_made_nor_lost(evidence: Evidence) -> None:
    """What customers own, with what is posted at one bank and not yet at the other, was paid in."""
    owned, on_the_way = 0, 0
    for books in evidence.banks.values():
        owned += sum(posted for name, posted, _, _ in books.accounts if not name.startswith("@"))
        for payment_id, _, _, outcome, debit, credit, amount_minor in books.journal:
            if payment_id is not None and outcome == _COMMITTED:
                on_the_way += amount_minor * (not debit.startswith("@"))
                on_the_way -= amount_minor * (not credit.startswith("@"))
    paid_in = OPENING_MINOR * len(USERS) * len(BANKS)
    demand(owned + on_the_way == paid_in, "I1 no money is made or lost", (owned, on_the_way, paid_in))


def i2_banks_carry_out_what_was_decided(evidence: Evidence) -> None:
    """A bank posts what was decided in that very epoch, and aborts nothing that was."""
    for name, books in evidence.banks.items():
        for payment_id, payer, epoch, outcome, *_ in books.journal:
            if payment_id is None:
                continue
            ruling = evidence.rulings.get((payment_id, payer))
            is_commit = ruling is not None and ruling.outcome == _COMMITTED and ruling.epoch == epoch
            said = "posts only what was" if outcome == _COMMITTED else "aborts nothing that was"
            fits = (outcome == _COMMITTED) == is_commit
            demand(fits, f"I2 {name} {said} decided", (payment_id, payer, epoch, ruling))


def i3_decisions_stay(evidence: Evidence) -> None:
    """Each decision that was ever durable is there as it was."""
    for key, decision in evidence.seen.decided.items():
        ruling = evidence.rulings.get(key)
        known = Ruling(decision.epoch, tuple(decision.payment), decision.outcome, decision.sequence)
        demand(ruling == known, "I3 a decision is written once, before it is spoken of", (known, ruling))
    sequences = sorted(ruling.sequence for ruling in evidence.rulings.values())
    demand(sequences == list(range(1, len(sequences) + 1)), "I3 decisions count up without gaps", sequences)


def i4_promises_are_kept(evidence: Evidence) -> None:
    """Each yes that left a bank is a hold there, or has ended; a newer epoch's stands for it."""
    newest: dict[tuple[str, Key], int] = {}
    for name, books in evidence.banks.items():
        for payment_id, payer, epoch, *_ in (*books.journal, *books.holds):
            key = name, (payment_id, payer)
            newest[key] = max(newest.get(key, 0), epoch)
    for bank, (payment_id, payer, epoch) in evidence.seen.yes:
        is_kept = newest.get((bank, (payment_id, payer)), 0) >= epoch
        demand(is_kept, f"I4 a yes of {bank} rests on its disk", (payment_id, payer, epoch))


def i5_nobody_is_overdrawn(evidence: Evidence) -> None:
    """What is available is never below zero."""
    for name, books in evidence.banks.items():
        for account, posted, held, _ in books.accounts:
            demand(account.startswith("@") or posted >= held, f"I5 nobody at {name} is overdrawn", account)


def i6_payments_are_posted_once(evidence: Evidence) -> None:
    """A bank posts a payment once, whatever the epoch."""
    for name, books in evidence.banks.items():
        posted = [row[:2] for row in books.journal if row[0] is not None and row[3] == _COMMITTED]
        demand(len(posted) == len(set(posted)), f"I6 {name} posts a payment once", posted)


def i7_outcomes_belong_to_their_fields(evidence: Evidence) -> None:
    """An outcome is told to whom asked for the very payment that was decided; a decline stays one."""
    for asked, decision in evidence.seen.told_decisions:
        ruling = evidence.rulings.get(asked.key)
        demand(
            ruling is not None and ruling.fields == tuple(asked) and ruling.outcome == decision.outcome,
            "I7 the same id with other fields is refused",
            (asked, ruling),
        )


def i8_what_was_told_is_on_disk(evidence: Evidence) -> None:
    """What any client was told is true, though every process died."""
    for asked, decision in evidence.seen.told_decisions:
        ruling = evidence.rulings.get(asked.key)
        same = ruling is not None and (ruling.sequence, ruling.epoch) == (decision.sequence, decision.epoch)
        demand(same, "I8 what a client was told is on the gateway's disk", (asked, decision, ruling))


def i9_books_are_what_the_journal_folds_to(evidence: Evidence) -> None:
    """Accounts are the fold of journal and holds; entries name both sides; none ever changes."""
    for name, books in evidence.banks.items():
        folded: dict[str, list[int]] = {}
        for payment_id, payer, _, outcome, debit, credit, amount_minor in books.journal:
            if outcome == _COMMITTED:
                folded.setdefault(debit, [0, 0, 0])[0] -= amount_minor
                folded.setdefault(credit, [0, 0, 0])[0] += amount_minor
                if payment_id is not None:
                    _demand_both_sides(name, (debit, credit, amount_minor), evidence.rulings[payment_id, payer])
        for _, _, _, debit, credit, amount_minor in books.holds:
            folded.setdefault(debit, [0, 0, 0])[1] += amount_minor
            folded.setdefault(credit, [0, 0, 0])[2] += amount_minor
        accounts = {account: sums for account, *sums in books.accounts if any(sums)}
        folded = {account: sums for account, sums in folded.items() if any(sums)}
        demand(accounts == folded, f"I9 the accounts of {name} are what its journal folds to", (accounts, folded))
        earlier = evidence.seen.journals.get(name, [])
        demand(books.journal[: len(earlier)] == earlier, f"I9 the journal of {name} only grows", earlier)
        evidence.seen.journals[name] = books.journal


def _demand_both_sides(bank: str, moved: tuple[str, str, int], ruling: Ruling) -> None:
    _, payer, payer_bank, payee, payee_bank, amount_minor, currency, _ = ruling.fields
    debit = payer if payer_bank == bank else f"@{payer_bank}/{currency}"
    credit = payee if payee_bank == bank else f"@{payee_bank}/{currency}"
    demand(moved == (debit, credit, amount_minor), f"I9 {bank} debits and credits whom it should", (moved, ruling))


def i12_the_outbox_tells_the_truth(evidence: Evidence) -> None:
    """No promised payment vanishes; an end is final; each says what the gateway has on record."""
    for payment in evidence.seen.promises:
        item = payment.payer, write_id(payment.payment_id)
        demand(item in evidence.items, "I12 no payment vanishes from an outbox", payment)
        state = evidence.items[item]
        demand(evidence.seen.ended.get(item, state) == state, "I12 an end is final", (payment, state))
        if State(state).is_final:
            evidence.seen.ended[item] = state
        ruling = evidence.rulings.get(payment.key)
        ours = ruling.outcome if ruling is not None and ruling.fields == tuple(payment) else None
        is_true = {
            State.COMMITTED: ours == _COMMITTED,
            State.DECLINED: ours == _DECLINED,
            State.REFUSED: ours != _COMMITTED,
            State.EXPIRED: ours is None,
            State.CANCELLED: ours is None,
        }
        demand(
            is_true.get(State(state), True),
            "I12 an end is what the gateway has on record",
            (payment, state, ruling),
        )
        is_refused = state != State.REFUSED or payment in evidence.seen.told_refusals
        demand(is_refused, "I12 nothing is given up that was not refused", payment)


def write_id(payment_id: bytes) -> str:
    """Write an id as an outbox keeps it."""
    text = payment_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# -- in the end -----------------------------------------------------------------


def i10_everything_comes_to_an_end(evidence: Evidence) -> None:
    """Every bank has posted its part of each payment that committed, and they agree on what they owe."""
    owed: dict[tuple[str, ...], int] = {}
    for name, books in evidence.banks.items():
        posted = {row[:2] for row in books.journal if row[3] == _COMMITTED}
        for key, ruling in evidence.rulings.items():
            if ruling.outcome == _COMMITTED and name in (ruling.fields[2], ruling.fields[4]):
                demand(key in posted, f"I10 {name} has posted its part of each payment that committed", ruling)
        for account, amount_minor, *_ in books.accounts:
            if account.startswith("@") and not account.startswith("@paid-in"):
                pair = tuple(sorted((name, account[1:].partition("/")[0])))
                owed[pair] = owed.get(pair, 0) + amount_minor
    demand(not any(owed.values()), "I10 two banks agree on what they owe each other", owed)


def i11_nothing_is_held_for_ever(evidence: Evidence) -> None:
    """No hold outlives its transaction; that tombstones stay is a part of I9."""
    for name, books in evidence.banks.items():
        demand(not books.holds, f"I11 nothing is held at {name} in the end", books.holds)


def i12_every_item_ends(evidence: Evidence) -> None:
    """Each payment that was promised has exactly one end."""
    waiting = [item for item, state in evidence.items.items() if not State(state).is_final]
    demand(not waiting, "I12 every payment in an outbox comes to an end", waiting)


Invariant = Callable[[Evidence], Any]
SAFETY: tuple[Invariant, ...] = (
    i1_money_is_neither_made_nor_lost,
    i2_banks_carry_out_what_was_decided,
    i3_decisions_stay,
    i4_promises_are_kept,
    i5_nobody_is_overdrawn,
    i6_payments_are_posted_once,
    i7_outcomes_belong_to_their_fields,
    i8_what_was_told_is_on_disk,
    i9_books_are_what_the_journal_folds_to,
    i12_the_outbox_tells_the_truth,
)
REST: tuple[Invariant, ...] = (
    i10_everything_comes_to_an_end,
    i11_nothing_is_held_for_ever,
    i12_every_item_ends,
)
