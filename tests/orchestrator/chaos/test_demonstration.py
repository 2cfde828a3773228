"""Who plays in the demonstration: who is first in cluster.yaml and users.json, or a clear word why nobody can."""

import json

import pytest
from click.testing import CliRunner

from nodes.runtime.passwords import hash_password
from orchestrator.chaos.demonstration import CannotDemonstrate, Cast, draw, find_cast
from orchestrator.commands.demo import demo
from orchestrator.layout.config import load

HASH = hash_password("secret")
ALICE = ("alice", "customer", {"AXIS": "500.00", "KOTAK": "1.00"})
BOB = ("bob", "customer", {"KOTAK": "0.00"})


def cast(folder, banks, *users):
    lines = [f"  {bank}: {{address: localhost:{at}}}" for at, bank in enumerate(banks, 1001)]
    (folder / "cluster.yaml").write_text("\n".join(["banks:", *lines, ""]))
    known = [
        {"name": name, "role": role, "password_hash": HASH, "accounts": accounts} for name, role, accounts in users
    ]
    (folder / "users.json").write_text(json.dumps({"users": known}))
    return find_cast(load(folder / "cluster.yaml"))


@pytest.mark.parametrize(
    ("users", "wanted"),
    [
        ((ALICE, BOB), Cast("alice", "AXIS", "bob", "KOTAK")),
        ((BOB, ALICE), Cast("alice", "AXIS", "bob", "KOTAK")),
        ((ALICE,), Cast("alice", "AXIS", "alice", "KOTAK")),
        ((("poor", "customer", {"AXIS": "99.99"}), ALICE, BOB), Cast("alice", "AXIS", "bob", "KOTAK")),
        ((("dave", "operator", {"AXIS": "500.00"}), ALICE, BOB), Cast("alice", "AXIS", "bob", "KOTAK")),
    ],
    ids=["in order", "in another order", "alone", "one is too poor", "an operator pays nobody"],
)
def test_the_first_bank_pays_the_second_by_the_first_customers_who_can(tmp_path, users, wanted):
    assert cast(tmp_path, ("AXIS", "KOTAK", "SBI"), *users) == wanted


@pytest.mark.parametrize(
    ("banks", "users", "said"),
    [
        (("AXIS",), (), "one bank pays another here, and cluster.yaml has only AXIS: add a bank"),
        (("AXIS", "KOTAK"), (BOB,), "no customer in users.json has ₹100.00 at AXIS to pay with"),
        (
            ("AXIS", "SBI"),
            (("alice", "customer", {"AXIS": "500.00"}),),
            "no customer in users.json has an account at SBI to be paid at",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path, banks, users, said):
    with pytest.raises(CannotDemonstrate) as refused:
        cast(tmp_path, banks, *users)
    assert str(refused.value) == said


def test_a_cluster_of_one_bank_is_refused_before_anything_is_started(tmp_path):
    (tmp_path / "cluster.yaml").write_text("banks:\n  AXIS: {address: localhost:1001}\n")
    refused = CliRunner().invoke(demo, ["--file", str(tmp_path / "cluster.yaml")])
    assert isinstance(refused.exception, CannotDemonstrate)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.yaml"]


def test_the_picture_fits_any_names():
    for names in (("alice", "HDFC", "bob", "ICICI"), ("al", "B1", "bo", "ABANKOFLONGNAME")):
        lines = draw(Cast(*names), "committed").splitlines()
        bars = [[at for at, letter in enumerate(line) if letter in "│├└┴"] for line in lines[2:]]
        assert bars[0] == bars[2] == bars[3]
        assert bars[1] == bars[0][:1]
