"""The session that the README shows, and what a user meets besides, in a real cluster."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster
README = Path(__file__).parent.parent.parent / "README.md"
VARYING = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"until \d\d:\d\d"), "until HH:MM"),
    (re.compile(r" +"), " "),
]


def without_what_varies(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def readme_session() -> tuple[list[str], list[str]]:
    """Return what the README types into the shell, and what it says is printed."""
    [block] = re.findall(r"```session\n(.*?)```", README.read_text(), re.DOTALL)
    typed = [line.partition("> ")[2] for line in block.splitlines() if re.match(r"\w+> ", line)]
    printed = "\n".join(line for line in block.splitlines() if not re.match(r"\w+> ", line))
    return typed, without_what_varies(printed)


def test_the_session_in_the_readme_goes_as_it_is_shown(cluster):
    typed, printed = readme_session()
    done = cluster.run("shell", "--keep-going", stdin="\n".join(typed) + "\n", password="alice123", expect=3)
    assert without_what_varies(done.stdout) == printed


def test_both_sides_see_a_payment_with_its_id(cluster):
    paid = cluster.shell_json("alice", "pay bob@HDFC 12.50 from ICICI memo 'for lunch'")["payment"]
    assert paid["state"] == "committed"
    for user, direction in (("alice", "outgoing"), ("bob", "incoming")):
        newest = cluster.shell_json(user, "history -n 1")["payments"][0]
        assert newest["payment_id"] == paid["payment_id"]
        assert (newest["direction"], newest["outcome"], newest["memo"]) == (direction, "committed", "for lunch")


def test_the_numbered_menu_of_the_first_design_works_in_a_pipe(cluster):
    lines = "1\nalice\n3\nHDFC\n2\nbob@HDFC\n5\nICICI\nmenu\n4\n5\n"
    done = cluster.run("shell", stdin=lines, password="alice123")
    assert "alice@HDFC" in done.stdout
    assert "Paid ₹5.00 to bob@HDFC" in done.stdout
    assert "Logged out alice." in done.stdout


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("pya bob@HDFC 5 from ICICI", 2, "there is no command 'pya'"),
        ("pay bob@HDFC five from ICICI", 1, "'five' is not an amount"),
        ("pay bob@HDFC 1.005 from ICICI", 1, "more than the 2 decimals of INR"),
        ("pay bob 5 from ICICI", 2, "'bob' is not an account like bob@HDFC"),
        ("pay bob@HDFC 0 from ICICI", 1, "amount_minor: must be more than 0"),
        ("pay bob@NOWHERE 5 from ICICI", 1, "there is no bank 'NOWHERE' here"),
        ("pay nobody@HDFC 5 from ICICI", 3, "payee account not found"),
        ("pay bob@HDFC 5 from NOWHERE", 1, "there is no bank 'NOWHERE' here"),
        ("balance NOWHERE", 1, "there is no bank 'NOWHERE' here"),
        ("payment 01890a5d-ac96-774b-bcce-b302099a8057", 1, "alice has no payment"),
        ("payment x", 1, "must be a UUID"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence_and_by_the_exit_code(cluster, line, code, said):
    done = cluster.run("shell", "-u", "alice", "-e", line, password="alice123", expect=code)
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_password_and_a_missing_one_are_told_apart(cluster):
    wrong = cluster.run("shell", "-u", "alice", "-e", "balance", password="wrong", expect=1)
    assert "user or password is wrong" in wrong.stderr
    missing = cluster.run("shell", "-u", "alice", "-e", "balance", expect=1)
    assert "give --password-file, or set CLUSTER_PASSWORD" in missing.stderr


def test_an_auditor_looks_at_everyones_accounts_and_a_customer_at_no_one_elses(cluster):
    paid = cluster.shell_json("alice", "pay bob@HDFC 1 from ICICI")["payment"]["payment_id"]
    assert cluster.shell_json("eve", "balance HDFC of bob")["balances"][0]["account"] == "bob@HDFC"
    assert cluster.shell_json("eve", "history -n 1 of bob")["payments"][0]["direction"] == "incoming"
    assert cluster.shell_json("eve", f"payment {paid} of alice")["payments"][0]["outcome"] == "committed"
    nosy = cluster.run("shell", "-u", "alice", "-e", "balance of bob", password="alice123", expect=1)
    assert "alice may look at no one else's accounts" in nosy.stderr


def test_the_operator_sees_a_payment_at_the_gateway_and_both_banks(cluster):
    paid = cluster.shell_json("alice", "pay bob@HDFC 1 from ICICI")["payment"]
    shown = cluster.run("payment", "show", paid["payment_id"]).stdout
    assert "gateway:  committed" in shown
    for bank in ("HDFC", "ICICI"):
        assert re.search(rf"{bank}: +committed at ", shown)
    missing = cluster.run("payment", "show", "01890a5d-ac96-774b-bcce-b302099a8057", expect=1)
    assert "no user has a payment" in missing.stderr


def test_every_payment_has_its_line_and_secrets_have_none(cluster):
    paid = cluster.shell_json("alice", "pay bob@HDFC 2 from ICICI memo 'unspeakable'")["payment"]
    lines = [json.loads(line) for line in (cluster.folder / "logs" / "transactions.json").read_text().splitlines()]
    assert lines[-1]["payment_id"] == paid["payment_id"]
    for path in (cluster.folder / "logs").iterdir():
        text = path.read_text()
        for secret in ("alice123", "unspeakable", "$argon2id", "PRIVATE KEY", "eyJ"):
            assert secret not in text, path


def test_the_demonstration_demonstrates(cluster):
    shown = cluster.run("demo").stdout
    assert "alice pays bob@ICICI ₹100.00 from HDFC" in shown
    assert "the gateway has decided: committed" in shown
    assert "all books add up: customers own ₹38,000.00" in shown


def test_certificates_and_doctor_are_content(cluster):
    listed = json.loads(cluster.run("certs", "ls", "-o", "json").stdout)["certificates"]
    assert {row["name"] for row in listed} >= {"ca", "gateway", "HDFC", "ICICI", "SBI", "operator", "shell"}
    assert not [row for row in listed if row["fault"]]
    assert "fail" not in {
        row["verdict"] for row in json.loads(cluster.run("doctor", "-o", "json").stdout)["findings"]
    }
