"""Faults as rules: which direction each touches, what they do together, and that every one ends."""

import pytest

from orchestrator.links.faults import ANY, NO_EFFECT, Effect, Fault, Kind, Leases, combine


def fault(text: str, **amounts: float) -> Fault:
    """Write a fault as people do: ``cut HDFC->gateway``."""
    kind, direction = text.split()
    source, target = direction.split("->")
    return Fault("f1", Kind(kind), source, target, 10.0, **amounts)


def ask(kind: str = "cut", for_s: float = 5.0, **more: object) -> dict[str, object]:
    return {"kind": kind, "source": "HDFC", "target": "gateway", "left_s": for_s, "owner": "a test", **more}


@pytest.mark.parametrize(
    ("text", "direction", "is_touched"),
    [
        ("cut HDFC->gateway", "HDFC->gateway", True),
        ("cut HDFC->gateway", "gateway->HDFC", False),
        ("cut HDFC->gateway", "ICICI->gateway", False),
        ("cut *->gateway", "ICICI->gateway", True),
        ("cut *->gateway", "gateway->ICICI", False),
        ("cut gateway->*", "gateway->client", True),
        ("partition HDFC->gateway", "HDFC->gateway", True),
        ("partition HDFC->gateway", "gateway->HDFC", True),
        ("partition HDFC->gateway", "gateway->ICICI", False),
        ("partition *->gateway", "gateway->ICICI", True),
        ("delay client->gateway", "client->gateway", True),
        ("delay client->gateway", "HDFC->gateway", False),
    ],
)
def test_a_fault_touches_its_own_direction(text, direction, is_touched):
    assert fault(text).touches(*direction.split("->")) is is_touched


def test_faults_of_one_direction_add_up():
    faults = [
        fault("delay HDFC->gateway", delay_s=0.1, jitter_s=0.05),
        fault("delay *->gateway", delay_s=0.2),
        fault("drop HDFC->gateway", loss=0.5),
        fault("drop HDFC->gateway", loss=0.5),
        fault("limit HDFC->gateway", bytes_per_s=1000.0),
        fault("limit HDFC->gateway", bytes_per_s=500.0),
    ]
    effect = combine(faults, "HDFC", "gateway")
    assert effect == Effect(delay_s=pytest.approx(0.3), jitter_s=0.05, loss=0.75, bytes_per_s=500.0)
    assert combine(faults, "gateway", "HDFC") is NO_EFFECT
    assert combine([*faults, fault("partition gateway->HDFC")], "HDFC", "gateway").is_cut


@pytest.mark.parametrize(
    ("effect", "rolls", "wait_s"),
    [
        (Effect(delay_s=0.1), [], 0.1),
        (Effect(delay_s=0.1, jitter_s=0.2), [0.5], 0.2),
        (Effect(loss=0.5), [0.9], 0.0),
        (Effect(loss=0.5), [0.1, 0.9], 0.2),
        (Effect(loss=0.5), [0.1, 0.1, 0.9], 0.6),
        (Effect(loss=1.0), [0.0] * 6, 12.6),
    ],
)
def test_a_packet_that_is_lost_is_sent_again_later_each_time(effect, rolls, wait_s):
    assert effect.wait_s(iter(rolls).__next__) == pytest.approx(wait_s)


def test_a_fault_ends_when_its_time_is_over_and_not_before():
    leases = Leases()
    short, long = leases.grant(ask(for_s=5), 100.0), leases.grant(ask(for_s=9), 100.0)
    assert leases.next_end_s() == 105.0
    assert leases.expire(104.9) == []
    assert leases.expire(105.0) == [short]
    assert list(leases) == [long]
    assert leases.expire(200.0) == [long]
    assert leases.next_end_s() is None


def test_a_fault_is_healed_once_by_its_id_or_with_all():
    leases = Leases()
    first, second, third = (leases.grant(ask(), 0.0) for _ in range(3))
    assert leases.heal(second.id) == [second]
    assert leases.heal(second.id) == []
    assert leases.heal(ANY) == [first, third]
    assert leases.heal("f77") == []


def test_a_healed_fault_never_gives_its_id_to_another():
    leases = Leases()
    leases.heal(leases.grant(ask(), 0.0).id)
    assert leases.grant(ask(), 0.0).id == "f2"


def test_a_fault_is_told_with_what_is_left_of_its_time():
    leases = Leases()
    granted = leases.grant(ask("delay", delay_s=0.25, jitter_s=0.05), 100.0)
    told = granted.write(103.0)
    assert told["left_s"] == 2.0
    assert told["text"] == "delay HDFC->gateway by 250 ms and up to 50 ms more"
    # Another process has another clock.
    assert Fault.read(told, 7.0).ends_at_s == 9.0


@pytest.mark.parametrize(
    "fields",
    [
        ask("burn"),
        ask(for_s=0),
        ask(for_s=-1),
        ask(for_s=float("nan")),
        ask(for_s=90_000),
        ask(loss=2),
        ask(delay_s=-1),
        ask(delay_s="much"),
        ask(colour="red"),
        ask(source=7),
        {"kind": "cut"},
        {},
    ],
)
def test_what_is_no_fault_is_refused_and_leaves_nothing(fields):
    leases = Leases()
    with pytest.raises(ValueError, match=r".+"):
        leases.grant(fields, 0.0)
    assert list(leases) == []
