"""The index of history: whatever is in memory, on its way to disk, or there, a user sees all of it, in order."""

from random import Random

import apsw
import pytest

from nodes.core.messages import Decision, Outcome, Payment, Reason
from nodes.gateway.history_index import HistoryIndex
from nodes.gateway.store import SCHEMA, GatewayStore

USERS = [f"user{n}" for n in range(30)]


def decisions(random, first, count):
    for sequence in range(first, first + count):
        payer, payee = random.choice(USERS), random.choice(USERS)
        payment = Payment(sequence.to_bytes(16), payer, "HDFC", payee, "ICICI", 1, "INR", "")
        yield Decision(
            sequence, 1, payment, random.choice([Outcome.COMMITTED, Outcome.DECLINED]), Reason.NONE, 5, 6
        )


def concerns(decision, user):
    payment = decision.payment
    return user == payment.payer or (user == payment.payee and decision.is_committed)


@pytest.mark.parametrize("seed", range(5))
def test_a_user_sees_all_of_it_in_order_wherever_it_is_and_after_each_restart(seed, monkeypatch):
    monkeypatch.setattr("nodes.gateway.history_index._SLICE_MIN", 16)
    monkeypatch.setattr("nodes.gateway.history_index._MERGED_FROM", 400)
    random = Random(seed)
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    store = GatewayStore(connection)
    written: list[Decision] = []
    for _ in range(120):
        turn = list(decisions(random, len(written) + 1, random.choice([1, 3, 40])))
        store.write(turn, [], 7)
        written += turn
        if random.random() < 0.1:
            store = GatewayStore(connection)  # what was in memory is gone
        user, before, limit = (
            random.choice(USERS),
            random.randrange(1, len(written) + 2),
            random.choice([1, 5, 50]),
        )
        expected = [d for d in reversed(written) if d.sequence < before and concerns(d, user)]
        assert store.history(user, before, limit) == expected[:limit]
    assert connection.execute("SELECT sequence FROM concern_until").get > 400


def test_what_is_in_memory_is_bounded_however_long_the_history(monkeypatch):
    monkeypatch.setattr("nodes.gateway.history_index._MERGED_FROM", 1000)
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    index = HistoryIndex(connection)
    most = 0
    for first in range(1, 40_000, 200):
        index.add((n, f"u{n % 700}", f"v{n % 900}", Outcome.COMMITTED) for n in range(first, first + 200))
        most = max(most, sum(map(len, index._newest.values())) + sum(map(len, index._merging.values())))
    assert most < 3 * 1000
