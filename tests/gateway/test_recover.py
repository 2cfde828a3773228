"""A gateway's file that was lost, or came back old, is made anew from the banks' books, and refuses to guess."""

import shutil

import pytest

from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.core.chain import Head
from nodes.core.coordinator import Contradicted, Coordinator, Decided, Differs
from nodes.core.ledger import Ledger
from nodes.core.messages import Decide, Outcome, Payment, Reason
from nodes.core.participant import Participant
from nodes.core.rebuilding import Unrecoverable
from nodes.core.resolution import Resolution, State
from nodes.gateway.heads import explain_told
from nodes.gateway.recover import main, recover
from nodes.gateway.store import GatewayStore
from nodes.runtime.database import BooksAltered, DatabaseUnusable
from tests.altered_books import alter
from tests.paper_cluster import BANKS, PaperCluster


@pytest.fixture
def cluster(tmp_path):
    """Stop a cluster whose gateway's file was copied after the first of its payments."""
    cluster = PaperCluster(tmp_path)
    cluster.first = cluster.pay()
    cluster.gateway.copy_to(tmp_path / "copy.db")
    cluster.second = cluster.pay(7)
    cluster.half = cluster.pay(8, deaf="HDFC")
    cluster.refused = cluster.pay(99_999)
    cluster.lost = cluster.pay(9, deaf="HDFC ICICI")
    cluster.stop()
    return cluster


def banks(cluster):
    return {name: cluster.paths[name] for name in BANKS}


def restore(cluster):
    shutil.move(cluster.paths["gateway"].with_name("copy.db"), cluster.paths["gateway"])


def run(cluster, **options):
    return recover(cluster.paths["gateway"], banks(cluster), "eve", "disk lost", **options)


def findings(cluster):
    return sorted(str(found) for found in cluster.audit().findings)


def ask(store, payment_id, amount_minor, memo="rent"):
    """Return what a client hears that sends a payment of alice again."""
    coordinator = Coordinator(epoch=store.begin_epoch(), last_sequence=store.last_sequence(), timeout_ms=1000)
    for name in BANKS:
        coordinator.connect(name, [], {})
    coordinator.recall_unknown(store.contradictions())
    payment = Payment(payment_id.bytes, "alice", "ICICI", "bob", "HDFC", amount_minor, "INR", memo)
    coordinator.begin(payment, "client", store.find_decisions([payment.key]).get(payment.key))
    [(_, answer)] = coordinator.take_effects().answers
    return answer


@pytest.mark.parametrize("is_old", [True, False], ids=["old copy", "lost"])
def test_what_banks_posted_is_committed_what_all_hold_is_unknown_and_the_rest_declined(cluster, is_old):
    cluster.paths["gateway"].unlink()
    if is_old:
        restore(cluster)
    done = run(cluster)
    assert (done.committed, done.declined, done.epoch) == (2 if is_old else 3, 1, 1)
    lost = f"payment {cluster.lost} of alice"
    assert done.unknown == [f"{lost}: {bank} holds it for epoch 1" for bank in ("HDFC", "ICICI")]
    said = "on record is: nothing: the gateway's records of it were lost"
    assert findings(cluster) == [
        f"atomicity: gateway: {lost}: {bank} holds it for epoch 1; {said}" for bank in ("HDFC", "ICICI")
    ]
    [recovery] = cluster.audit().recoveries
    assert (recovery.who, recovery.why) == ("eve", "disk lost")

    store = GatewayStore.open(cluster.paths["gateway"])
    for payment_id, amount_minor in ((cluster.first, 100), (cluster.second, 7), (cluster.half, 8)):
        answer = ask(store, payment_id, amount_minor, "" if is_old and payment_id == cluster.first else "rent")
        assert isinstance(answer, Decided)
        assert (answer.decision.outcome, answer.replayed) == (Outcome.COMMITTED, True)
        assert ask(store, payment_id, 5) == Differs("amount_minor")
    assert ask(store, cluster.refused, 99_999).decision[3:5] == (Outcome.DECLINED, Reason.INSUFFICIENT_FUNDS)
    assert isinstance(ask(store, cluster.lost, 9), Contradicted)
    store.close()


def test_what_is_unknown_is_answered_when_an_operator_has_settled_it_and_not_before(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    store = GatewayStore.open(cluster.paths["gateway"])
    coordinator = Coordinator(epoch=store.begin_epoch(), last_sequence=store.last_sequence(), timeout_ms=1000)
    coordinator.recall_unknown(store.contradictions())
    held = cluster.lost.bytes, "alice", 1
    half = cluster.half.bytes, "alice", 1
    recorded = store.find_decisions([held[:2], half[:2]])
    assert coordinator.answer_inquiry("HDFC", [held, half], recorded) == [Decide(*half, commit=True)]
    assert coordinator.judge(held, None).said == "the gateway's records of epoch 1 were lost"
    word = Resolution(*held, True, "eve", "the shop has delivered", 5)
    assert coordinator.resolve(word, {"HDFC": State.PREPARED, "ICICI": State.PREPARED}, None) == ""
    assert coordinator.answer_inquiry("HDFC", [held], recorded) == [Decide(*held, commit=True)]
    store.save_resolution(word)
    store.close()
    assert findings(cluster) == []


def test_banks_are_dealt_with_after_it_and_go_on_in_the_new_chain(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    store = GatewayStore.open(cluster.paths["gateway"])
    [recovery] = store.recoveries()
    assert recovery.link > max(told.number for told in recovery.given_up().values())
    assert store.chain.head.number > recovery.link
    assert store.chain.find_breaks(whole=True) == []

    def explain(bank, told):
        return explain_told(store.chain, [recovery], bank, told)

    for bank, told in recovery.given_up().items():
        assert explain("other", told)
        assert explain(bank, told) == ""
        assert explain(bank, told._replace(hash=bytes(32))).startswith(f"{bank} has heard of link")
        assert "was cut" in explain(bank, told._replace(number=store.chain.head.number + 1))
        link = store.chain.head_at(recovery.link)
        assert explain(bank, told._replace(number=link.number, hash=link.hash)) == ""
    store.close()


def test_what_the_banks_chains_were_is_known_to_the_new_records(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    store = GatewayStore.open(cluster.paths["gateway"])
    heard = {told.node: told.number for told in store.chain.last_heard()}
    store.close()
    for name in BANKS:
        books = BankStore.open(cluster.paths[name], name)
        assert heard[name] == books.chain.head.number
        books.close()


def test_a_promise_of_a_later_epoch_alone_is_a_need(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    alter(
        cluster.paths["SBI"],
        "INSERT INTO hold VALUES (NULL, zeroblob(16), 'bob', 9, 'bob', '@HDFC/INR', 5, 'INR', 7)",
        "UPDATE account SET held = 5 WHERE name = 'bob'",
        "INSERT INTO account VALUES ('@HDFC/INR', 'INR', 0, 0, 5)",
    )
    assert run(cluster).epoch == 9
    store = GatewayStore.open(cluster.paths["gateway"])
    assert store.begin_epoch() == 10
    store.close()


def test_the_new_file_is_in_its_place_for_good_before_that_is_said(cluster, monkeypatch):
    synced = []
    monkeypatch.setattr("nodes.gateway.recover.sync_folder", synced.append)
    cluster.paths["gateway"].unlink()
    run(cluster)
    assert synced == [cluster.paths["gateway"].parent]


def test_what_banks_hear_from_the_recovery_on_counts_from_its_very_link(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    store = GatewayStore.open(cluster.paths["gateway"])
    [recovery] = store.recoveries()
    store.close()
    before = findings(cluster)
    hdfc = BankStore.open(cluster.paths["HDFC"], "HDFC")
    hdfc.chain.hear("gateway", Head(recovery.link, 0, bytes(32)))
    hdfc.chain.append([], 10**12)
    hdfc.close()
    said = f"its chain was made anew: link {recovery.link} is not the one that HDFC has heard of"
    assert [line for line in findings(cluster) if line not in before] == [f"heads: gateway: {said}"]


def test_a_commit_by_hand_that_only_one_bank_has_carried_out_leaves_the_other_part_on_its_way(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    word = Resolution(cluster.lost.bytes, "alice", 1, True, "eve", "the shop has delivered", 5)
    store = GatewayStore.open(cluster.paths["gateway"])
    store.save_resolution(word)
    store.close()
    on_the_way = cluster.audit().money["INR"].on_the_way
    for bank, change in (("ICICI", 9), ("HDFC", 0)):
        books = BankStore.open(cluster.paths[bank], bank)
        participant = Participant(bank, Ledger(books.find_account, books.holds()))
        bank_turn.take_turn(
            participant, books, [bank_turn.Received([], [Decide(*word[:3], commit=True)], None)], 7
        )
        books.close()
        report = cluster.audit()
        assert report.findings == []
        assert report.money["INR"].on_the_way == on_the_way + change


def test_a_file_is_recovered_again_after_it_was_lost_again(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    cluster.paths["gateway"].unlink()
    done = run(cluster)
    assert (done.committed, done.declined) == (3, 1)
    assert len(findings(cluster)) == 2


def test_the_file_before_is_kept_and_nothing_else_is_left(cluster, tmp_path):
    restore(cluster)
    before = cluster.paths["gateway"].read_bytes()

    def files():
        return set(tmp_path.glob("gateway*"))

    assert files() == {cluster.paths["gateway"]}
    trial = run(cluster, is_trial=True)
    assert files() == {cluster.paths["gateway"]}
    assert trial.kept is None
    done = run(cluster)
    [kept] = files() - {cluster.paths["gateway"]}
    assert done == trial._replace(kept=str(kept))
    assert kept.read_bytes() == before
    assert cluster.paths["gateway"].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("node", "statement", "said"),
    [
        (None, None, "is no older than its banks' books: there is nothing to recover"),
        ("HDFC", None, "there is no database"),
        ("HDFC", "UPDATE account SET posted = posted + 5 WHERE name = 'bob'", "not whole: double entry: HDFC"),
        ("HDFC", "UPDATE journal SET reason = 7", "not whole: chain: HDFC"),
        ("gateway", "UPDATE decision SET amount_minor = 5", "was changed by others than its node"),
    ],
)
def test_what_is_not_sound_or_not_needed_changes_nothing(cluster, node, statement, said):
    if node == "gateway":
        restore(cluster)
    if statement:
        alter(cluster.paths[node], statement)
    elif node:
        cluster.paths[node].unlink()
    before = cluster.paths["gateway"].read_bytes()
    with pytest.raises((Unrecoverable, BooksAltered, DatabaseUnusable), match=said):
        run(cluster)
    assert cluster.paths["gateway"].read_bytes() == before
    assert list(cluster.paths["gateway"].parent.glob("*.recovering*")) == []


def test_an_old_copy_that_decided_otherwise_is_refused_by_the_audit_of_what_was_made(cluster):
    """It served banks that had not heard of more: what it declined there, another had posted."""
    restore(cluster)
    store = GatewayStore.open(cluster.paths["gateway"])
    [first] = store.decisions_since(0)
    payment = first.payment._replace(payment_id=cluster.second.bytes, amount_minor=7)
    declined = first._replace(sequence=2, payment=payment, outcome=Outcome.DECLINED)
    store.write([declined], [], 0)
    store.close()
    with pytest.raises(Unrecoverable, match=r"does not fit: .* the gateway's decision is: declined"):
        run(cluster)


def test_a_recovery_that_was_altered_is_not_served(cluster):
    cluster.paths["gateway"].unlink()
    run(cluster)
    alter(cluster.paths["gateway"], "UPDATE recovery SET why = 'nothing happened'")
    with pytest.raises(BooksAltered, match="acts of operators after record 0 are not what was written"):
        GatewayStore.open(cluster.paths["gateway"])
    assert any("acts of operators" in line for line in findings(cluster))


def test_the_program_says_why_not_in_a_line(cluster, capsys, monkeypatch):
    words = ["recover", f"--database={cluster.paths['gateway']}", "--who=eve", "--why=because"]
    monkeypatch.setattr("sys.argv", [*words, "--bank", "SBI", str(cluster.paths["SBI"])])
    assert main() == 1
    monkeypatch.setattr("sys.argv", [*words, "--bank", "HDFC", str(cluster.paths["HDFC"])])
    assert main() == 1
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "HDFC has dealt with ICICI, whose books are needed, too"
    monkeypatch.setattr("sys.argv", [*words[:-1], "--why=", "--bank", "SBI", str(cluster.paths["SBI"])])
    with pytest.raises(SystemExit):
        main()
