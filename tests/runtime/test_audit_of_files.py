"""The audit finds what a hand has altered in the files of a stopped cluster, and says with which payment."""

import apsw
import pytest

from nodes.core.books import Told
from nodes.core.messages import Outcome
from nodes.core.resolution import Resolution
from nodes.gateway.store import GatewayStore
from nodes.runtime.chain_table import ChainTable
from nodes.runtime.database import DatabaseUnusable
from nodes.runtime.pages import RECORDS_PAGE
from tests.altered_books import alter
from tests.paper_cluster import BANKS, OPENING_MINOR, PaperCluster

PAID_IN = OPENING_MINOR * 2 * len(BANKS)


@pytest.fixture
def cluster(tmp_path):
    cluster = PaperCluster(tmp_path)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def paid_once(tmp_path_factory):
    """One stopped cluster with one payment of alice, for all who copy its files."""
    cluster = PaperCluster(tmp_path_factory.mktemp("paid"))
    payment_id = cluster.pay()
    cluster.stop()
    return cluster, payment_id


def findings(cluster, *told):
    return [str(found) for found in cluster.audit(told).findings]


def make_chain_anew(path, node):
    """Do what an attacker would: make all links anew, as many as there were, so that the file alone looks whole."""
    table, columns = ("decision", "*") if node == "gateway" else ("journal", "*")
    connection = apsw.Connection(str(path))
    if node != "gateway":
        columns = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(journal)").fetchall()[1:])
    links = connection.execute("SELECT number, last_sequence FROM link ORDER BY number").fetchall()
    heard = connection.execute("SELECT * FROM heard ORDER BY link, node").fetchall()
    connection.execute("DELETE FROM link; DELETE FROM heard")
    chain = ChainTable(connection, node, table=table, columns=columns)
    for at_us, (number, last_sequence) in enumerate(links):
        for name, link, heard_number, hash_ in heard:
            if link == number:
                chain.hear(name, chain.head._replace(number=heard_number, hash=hash_))
        chain.append(chain._read(chain.head.last_sequence, last_sequence), at_us * 10_000_000)
    connection.close()


# -- nothing is wrong -------------------------------------------------------------


def test_a_cluster_that_nobody_touched_is_clean(cluster):
    cluster.pay()
    cluster.pay(payer_bank="SBI", payee_bank="SBI")
    cluster.pay(99_999)
    cluster.stop()
    report = cluster.audit()
    assert report.findings == []
    assert report.money == {"INR": (PAID_IN, PAID_IN, 0)}
    assert (report.decisions, report.in_doubt) == (3, 0)
    assert not (cluster.paths["HDFC"].parent / "HDFC.db-shm").exists()


@pytest.mark.parametrize(("deaf", "on_the_way"), [("HDFC", 100), ("ICICI", -100)])
def test_a_bank_that_has_not_heard_yet_is_no_fault(cluster, deaf, on_the_way):
    cluster.pay(deaf=deaf)
    cluster.stop()
    report = cluster.audit()
    assert report.findings == []
    assert report.money["INR"] == (PAID_IN, PAID_IN - on_the_way, on_the_way)
    assert report.in_doubt == 1


def test_a_try_that_ended_without_a_bank_is_no_fault(cluster):
    cluster.pay(away="HDFC")
    cluster.stop()
    assert findings(cluster) == []


# -- a hand was there -------------------------------------------------------------

ID = "{}"
ALTERATIONS = [
    ("balance", "HDFC", "UPDATE account SET posted = posted + 5 WHERE name = 'bob'", "double entry: HDFC: account bob has posted, held, incoming 1105, 0, 0; journal and holds give 1100, 0, 0"),
    ("money made", "HDFC", "UPDATE account SET posted = posted + 5 WHERE name = 'bob'", "money: INR: customers own 6005 and 0 is on its way, 6000 was paid in: 5 was made"),
    ("balances, in secret", "HDFC", "UPDATE account SET posted = posted + iif(name = 'bob', 5, -5) WHERE name IN ('alice', 'bob')", "double entry: HDFC: account alice has posted, held, incoming 995"),
    ("account gone", "SBI", "DELETE FROM account WHERE name = 'bob'", "double entry: SBI: account bob is gone"),
    ("entry gone", "HDFC", "DELETE FROM journal WHERE sequence = 3", "chain: HDFC: records 3 to 3: 0 are there, 1 were written (link 2)"),
    ("entry gone: which", "HDFC", "DELETE FROM journal WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: committed by the gateway in epoch 1; neither posted nor held here"),
    ("amount altered", "HDFC", "UPDATE journal SET amount_minor = 900 WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: posted as 900 INR from @ICICI/INR to bob; decided was 100 INR from @ICICI/INR to bob"),
    ("currency altered", "HDFC", "UPDATE journal SET currency = 'USD' WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: posted as 100 USD from @ICICI/INR to bob; decided was 100 INR from @ICICI/INR to bob"),
    ("payee altered", "HDFC", "UPDATE journal SET credit_account = 'alice' WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: posted as 100 INR from @ICICI/INR to alice"),
    ("outcome altered", "HDFC", "UPDATE journal SET outcome = 3 WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: aborted here, committed by the gateway in epoch 1"),
    ("epoch altered", "HDFC", "UPDATE journal SET epoch = 2 WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: posted here for epoch 2; the gateway's decision is: committed in epoch 1"),
    ("posted twice", "HDFC", "INSERT INTO journal SELECT 4, payment_id, payer, 2, outcome, reason, debit_account, credit_account, amount_minor, currency, at_us FROM journal WHERE sequence = 3", f"exactly once: HDFC: payment {ID} of alice: posted more than once"),
    ("posted twice, the same", "HDFC", "DROP INDEX journal_by_transaction; INSERT INTO journal SELECT 4, payment_id, payer, epoch, outcome, reason, debit_account, credit_account, amount_minor, currency, at_us FROM journal WHERE sequence = 3", f"exactly once: HDFC: payment {ID} of alice: posted more than once"),
    ("posted three times", "HDFC", "DROP INDEX journal_by_transaction; INSERT INTO journal SELECT a.sequence + 10, b.payment_id, b.payer, b.epoch, b.outcome, b.reason, b.debit_account, b.credit_account, b.amount_minor, b.currency, b.at_us FROM journal a, journal b WHERE b.sequence = 3 AND a.sequence < 3", f"exactly once: HDFC: payment {ID} of alice: posted more than once"),
    ("posted and aborted", "HDFC", "DROP INDEX journal_by_transaction; INSERT INTO journal SELECT 4, payment_id, payer, epoch, 3, 0, '', '', 0, '', at_us FROM journal WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: aborted here, committed by the gateway in epoch 1"),
    ("entry planted", "SBI", "INSERT INTO journal VALUES (9, zeroblob(16), 'eve', 1, 2, 0, 'bob', 'alice', 5, 'INR', 7)", "atomicity: SBI: payment 00000000-0000-0000-0000-000000000000 of eve: posted here, and the gateway has no decision on it"),
    ("opening planted", "SBI", "INSERT INTO journal VALUES (9, NULL, 'bob', 0, 2, 0, 'alice', 'bob', 5, 'INR', 7)", "double entry: SBI: entry 9 belongs to no payment and opens no account"),
    ("opening for another", "SBI", "INSERT INTO journal VALUES (9, NULL, 'bob', 0, 2, 0, '@paid-in/INR', 'alice', 5, 'INR', 7)", "double entry: SBI: entry 9 belongs to no payment and opens no account"),
    ("never chained", "SBI", "INSERT INTO journal VALUES (9, NULL, 'bob', 0, 2, 0, 'alice', 'bob', 5, 'INR', 7)", "chain: SBI: 1 records after 2 were never chained"),
    ("chain gone", "SBI", "DELETE FROM link; DELETE FROM heard", "chain: SBI: 2 records after 0 were never chained"),
    ("hold planted", "SBI", "INSERT INTO hold VALUES (NULL, zeroblob(16), 'bob', 1, 'bob', '@ICICI/INR', 5, 'INR', 7)", "double entry: SBI: account bob has posted, held, incoming 1000, 0, 0; journal and holds give 1000, 5, 0"),
    ("hold of an epoch to come", "SBI", "INSERT INTO hold VALUES (NULL, zeroblob(16), 'bob', 2, 'bob', '@ICICI/INR', 5, 'INR', 7)", "holds: SBI: payment 00000000-0000-0000-0000-000000000000 of bob: held here for epoch 2, which has not begun"),
    ("hold of what is posted", "HDFC", "INSERT INTO hold SELECT NULL, payment_id, payer, epoch, debit_account, credit_account, amount_minor, currency, at_us FROM journal WHERE sequence = 3", f"holds: HDFC: payment {ID} of alice: held here, though it is posted"),
    ("hold of another try in place of an entry", "HDFC", "INSERT INTO hold SELECT NULL, payment_id, payer, 0, debit_account, credit_account, amount_minor, currency, at_us FROM journal WHERE sequence = 3; DELETE FROM journal WHERE sequence = 3", f"atomicity: HDFC: payment {ID} of alice: committed by the gateway in epoch 1; neither posted nor held here"),
    ("overdraft", "HDFC", "PRAGMA ignore_check_constraints = 1; UPDATE account SET posted = -5 WHERE name = 'bob'", "double entry: HDFC: account bob is overdrawn: -5"),
    ("overdraft by what is held", "SBI", "PRAGMA ignore_check_constraints = 1; UPDATE account SET held = 1001 WHERE name = 'bob'", "double entry: SBI: account bob is overdrawn: -1"),
    ("link gone", "HDFC", "DELETE FROM link WHERE number = 1", "chain: HDFC: links 1 to 1 of the chain are gone"),
    ("heard altered", "HDFC", "UPDATE heard SET hash = zeroblob(32)", "chain: HDFC: records 3 to 3 are not what was written (link 2)"),
    ("decision altered", "gateway", "UPDATE decision SET amount_minor = 5", "chain: gateway: records 1 to 1 are not what was written (link 1)"),
    ("decision turned", "gateway", "UPDATE decision SET outcome = 3", f"atomicity: ICICI: payment {ID} of alice: posted here for epoch 1; the gateway's decision is: declined in epoch 1"),
    ("decision gone", "gateway", "DELETE FROM decision", f"atomicity: HDFC: payment {ID} of alice: posted here, and the gateway has no decision on it"),
    ("decided twice", "gateway", "DROP INDEX decision_by_payment; INSERT INTO decision SELECT 2, epoch, payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, memo, 3, 1, created_at_us, decided_at_us FROM decision", f"exactly once: gateway: payment {ID} of alice: decided again, as number 2"),
    ("decided twice, the same", "gateway", "DROP INDEX decision_by_payment; INSERT INTO decision SELECT 2, epoch, payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, memo, outcome, reason, created_at_us, decided_at_us FROM decision", f"exactly once: gateway: payment {ID} of alice: decided again, as number 2"),
    ("contradiction", "gateway", "INSERT INTO contradiction VALUES (1, zeroblob(16), 'bob', 1, 'commit', 'HDFC: nothing', 7)", "atomicity: gateway: payment 00000000-0000-0000-0000-000000000000 of bob: commit; on record is: HDFC: nothing"),
]  # fmt: skip
"""(what, whose file, how, one line that the audit must say) of a cluster with one payment of alice, ICICI to HDFC."""


@pytest.mark.parametrize("page", [1, 2, RECORDS_PAGE])
@pytest.mark.parametrize("case", ALTERATIONS, ids=lambda case: case[0])
def test_what_a_hand_altered_is_found(paid_once, tmp_path, monkeypatch, case, page):
    _, node, statement, said = case
    monkeypatch.setattr("nodes.runtime.book_files.RECORDS_PAGE", page)
    original, payment_id = paid_once
    assert findings(original) == []
    cluster = original.copy(tmp_path)
    alter(cluster.paths[node], statement)
    assert any(found.startswith(said.format(payment_id)) for found in findings(cluster)), findings(cluster)


def test_an_act_that_was_planted_before_anything_was_decided_is_found(cluster):
    cluster.stop()
    planted = "INSERT INTO resolution VALUES (7, zeroblob(16), 'bob', 9, 0, 'eve', 'restored', 7)"
    alter(cluster.paths["gateway"], planted)
    assert findings(cluster) == ["chain: gateway: 1 acts of operators were never chained"]


def test_a_hold_that_would_credit_another_than_was_decided_is_found(cluster):
    payment_id = cluster.pay(deaf="HDFC")
    cluster.stop()
    alter(cluster.paths["HDFC"], "UPDATE hold SET credit_account = 'alice'")
    said = "held as 100 INR from @ICICI/INR to alice; decided was 100 INR from @ICICI/INR to bob"
    assert f"holds: HDFC: payment {payment_id} of alice: {said}" in findings(cluster)


def test_what_an_operator_resolved_is_told_and_no_fault(paid_once, tmp_path):
    """A hold and an alarm of an epoch that the gateway has not begun, as its records are older."""
    cluster = paid_once[0].copy(tmp_path)
    gateway = cluster.paths["gateway"]
    alter(
        cluster.paths["SBI"],
        "INSERT INTO hold VALUES (NULL, zeroblob(16), 'bob', 9, 'bob', '@HDFC/INR', 5, 'INR', 7)",
    )
    alter(cluster.paths["SBI"], "UPDATE account SET held = 5 WHERE name = 'bob'")
    alter(cluster.paths["SBI"], "INSERT INTO account VALUES ('@HDFC/INR', 'INR', 0, 0, 5)")
    alter(gateway, "INSERT INTO contradiction VALUES (1, zeroblob(16), 'bob', 9, 'SBI holds it', 'epoch 1', 7)")
    assert {line.partition(":")[0] for line in findings(cluster)} == {"holds", "atomicity"}
    store = GatewayStore.open(gateway)
    store.save_resolution(Resolution(bytes(16), "bob", 9, False, "eve", "restored", 7))
    store.close()
    report = cluster.audit()
    assert report.findings == []
    assert [(each.who, each.why) for each in report.resolutions] == [("eve", "restored")]
    another_try = "INSERT INTO contradiction VALUES (2, zeroblob(16), 'bob', 8, 'SBI holds it', 'epoch 1', 7)"
    alter(gateway, another_try)
    assert [line.partition(":")[0] for line in findings(cluster)] == ["atomicity"]
    alter(gateway, "DELETE FROM contradiction WHERE epoch = 8")
    alter(cluster.paths["SBI"], "UPDATE hold SET epoch = 10")
    assert [line.partition(":")[0] for line in findings(cluster)] == ["holds"]
    alter(cluster.paths["SBI"], "UPDATE hold SET epoch = 9")
    posted = "INSERT INTO journal VALUES (9, zeroblob(16), 'bob', 9, 2, 0, 'bob', '@HDFC/INR', 5, 'INR', 7)"
    alter(cluster.paths["SBI"], posted)
    assert any("posted here, and the gateway has no decision on it" in line for line in findings(cluster))
    alter(cluster.paths["SBI"], "DELETE FROM journal WHERE sequence = 9")
    alter(gateway, "UPDATE resolution SET who = 'bob'")
    said = "acts of operators after record 1 are not what was written (link 2)"
    assert findings(cluster) == [f"chain: gateway: {said}"]
    alter(gateway, "DELETE FROM resolution")
    assert f"chain: gateway: {said}" in findings(cluster)
    planted = "INSERT INTO resolution VALUES (7, zeroblob(16), 'bob', 9, 0, 'eve', 'restored', 7)"
    alter(gateway, planted)
    assert "chain: gateway: 1 acts of operators were never chained" in findings(cluster)


def test_a_tail_that_was_cut_off_cleanly_is_found_by_what_others_have_heard(cluster):
    first, second = cluster.pay(), cluster.pay()
    cluster.stop()
    alter(
        cluster.paths["HDFC"],
        "DELETE FROM journal WHERE sequence = 4; DELETE FROM link WHERE number = 3; DELETE FROM heard WHERE link = 3",
        "UPDATE account SET posted = posted + iif(name = 'bob', -100, 100) WHERE name IN ('bob', '@ICICI/INR')",
    )
    found = findings(cluster)
    assert not any(line.startswith(("chain", "double entry")) for line in found)
    said = f"payment {second} of alice: committed by the gateway in epoch 1; neither posted nor held here"
    assert f"atomicity: HDFC: {said}" in found
    assert not any(str(first) in line for line in found)


def test_a_cut_that_nobody_could_tell_by_payments_is_told_by_heads(cluster):
    cluster.pay(99_999)  # declined: it leaves a refusal in the payer's journal alone
    cluster.pay()
    cluster.stop()
    alter(
        cluster.paths["ICICI"],
        "DELETE FROM journal WHERE sequence = 3",
        "UPDATE journal SET sequence = 3 WHERE sequence = 4",
        "DELETE FROM link WHERE number > 2; UPDATE link SET last_sequence = 3 WHERE number = 2",
        "DELETE FROM heard",
    )
    make_chain_anew(cluster.paths["ICICI"], "ICICI")
    assert findings(cluster) == [
        "heads: ICICI: its chain was made anew: link 2 is not the one that gateway has heard of"
    ]


def test_a_chain_that_is_shorter_than_others_have_heard_was_cut(cluster):
    for _ in range(3):
        cluster.pay(99_999)
    cluster.stop()
    cut = "DELETE FROM journal WHERE sequence > 3; DELETE FROM link WHERE number > 2; DELETE FROM heard WHERE link > 2"
    alter(cluster.paths["ICICI"], cut)
    assert findings(cluster) == [
        "heads: ICICI: its chain was cut: gateway has heard of link 3, which is not there"
    ]


def test_the_gateways_chain_made_anew_is_found_by_what_banks_have_heard(cluster):
    cluster.pay(99_999)
    cluster.pay()
    cluster.stop()
    alter(cluster.paths["gateway"], "UPDATE decision SET reason = 5 WHERE sequence = 1")
    make_chain_anew(cluster.paths["gateway"], "gateway")
    assert {line for line in findings(cluster) if "gateway: its chain was made anew" in line}
    assert all(line.startswith("heads: gateway") for line in findings(cluster))


# -- what clients were told -------------------------------------------------------


def told(payment_id, outcome, amount_minor=100):
    return Told((payment_id.bytes, "alice"), "alice@ICICI", "bob@HDFC", amount_minor, "INR", outcome)


def test_what_clients_were_told_must_be_on_record(cluster):
    paid, refused, strange, abroad = cluster.pay(), cluster.pay(99_999), cluster.pay(), cluster.pay()
    unknown = type(paid)(int=5)
    cluster.stop()
    truth = [told(paid, Outcome.COMMITTED), told(refused, Outcome.DECLINED, 99_999), told(unknown, None)]
    assert findings(cluster, *truth) == []
    lies = [
        told(paid, Outcome.DECLINED),
        told(refused, Outcome.COMMITTED, 99_999),
        told(unknown, Outcome.COMMITTED),
        told(strange, Outcome.COMMITTED, 5),
        told(abroad, Outcome.COMMITTED)._replace(currency="USD"),
    ]
    assert findings(cluster, *lies) == [
        f"told: client: payment {paid} of alice: was told declined; on record is: committed",
        f"told: client: payment {refused} of alice: was told committed; on record is: declined",
        f"told: client: payment {unknown} of alice: was told committed; on record is: no decision",
        *(
            f"told: client: payment {each} of alice: was told committed; on record is: committed, with other parties"
            " or another amount"
            for each in (strange, abroad)
        ),
    ]
    assert findings(cluster, told(paid, None)) == [
        f"told: client: payment {paid} of alice: was told that it will not be paid; on record is: committed"
    ]


# -- what cannot be read ----------------------------------------------------------


def test_a_file_that_is_in_use_or_gone_is_said(cluster):
    with pytest.raises(DatabaseUnusable, match="is in use: its node runs"):
        cluster.audit()
    cluster.stop()
    cluster.paths["SBI"].unlink()
    with pytest.raises(DatabaseUnusable, match=r"there is no database .*SBI\.db"):
        cluster.audit()


def test_what_is_on_its_way_adds_up_over_all_parts(cluster, monkeypatch):
    monkeypatch.setattr("nodes.core.audit._SUSPECTS_AT_ONCE", 3)
    for _ in range(7):
        cluster.pay(5, deaf="HDFC")
    cluster.stop()
    report = cluster.audit()
    assert report.findings == []
    assert report.money["INR"].on_the_way == 35


def test_many_payments_are_looked_at_in_parts(cluster, monkeypatch):
    monkeypatch.setattr("nodes.core.audit._SUSPECTS_AT_ONCE", 3)
    monkeypatch.setattr("nodes.core.audit._IDS_AT_ONCE", 2)
    paid = [cluster.pay(5) for _ in range(8)]
    cluster.stop()
    assert findings(cluster) == []
    alter(cluster.paths["HDFC"], "DELETE FROM journal WHERE sequence > 3")
    lost = [line for line in findings(cluster) if line.endswith("neither posted nor held here")]
    assert sorted(str(payment_id) in "".join(lost) for payment_id in paid) == [False] + 7 * [True]
    assert len(lost) == 7
    again = "INSERT INTO decision SELECT sequence + 8, epoch, payment_id, payer, payer_bank, payee, payee_bank,"
    alter(
        cluster.paths["gateway"],
        "DROP INDEX decision_by_payment",
        f"{again} amount_minor, currency, memo, 3, 1, created_at_us, decided_at_us FROM decision",
    )
    assert sum("decided again" in line for line in findings(cluster)) == 8
