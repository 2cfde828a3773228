"""`cluster certs` on a cluster that runs and pays."""

import json
import re
from datetime import timedelta

import pytest

from nodes.client import NotLoggedIn, PaymentRequest, new_payment_id
from orchestrator.identity import certificates
from orchestrator.identity.authority import load_authority
from orchestrator.identity.certificates import list_leafs, make_leaf
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.shell.connection import connect
from tests.cluster.load import customers_of
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster


def listed(cluster):
    rows = json.loads(cluster.run("certs", "ls", "-o", "json").stdout)["certificates"]
    return {row["name"]: row for row in rows}


def processes(cluster):
    return {name: (node["pid"], node["restarts"]) for name, node in cluster.nodes().items()}


def is_sound(rows):
    return not any(row["fault"] for row in rows.values()) and all(
        rows[name]["shown_serial"] == rows[name]["serial"] for name in ("gateway", "HDFC", "ICICI", "SBI")
    )


def test_certificates_and_then_the_authority_are_replaced_under_load(cluster):
    before, running = listed(cluster), processes(cluster)
    with customers_of(cluster.folder) as customers:
        cluster.run("certs", "rotate")
        customers.pay_more(60)
        between = listed(cluster)
        cluster.run("certs", "rotate", "--ca")
        customers.pay_more(60)
    assert not customers.failures
    after = listed(cluster)
    assert is_sound(between)
    assert is_sound(after)
    assert between["ca"] == before["ca"]
    assert not {row["serial"] for row in before.values()} & {row["serial"] for row in after.values()}
    assert processes(cluster) == running
    assert {node["certificate"]["serial"] for node in cluster.nodes().values()} == {
        after[name]["serial"] for name in running
    }


def test_one_node_is_named_and_a_wrong_name_is_told(cluster):
    before = listed(cluster)
    cluster.run("certs", "rotate", "HDFC")
    assert [name for name, row in listed(cluster).items() if row != before[name]] == ["HDFC"]
    wrong = cluster.run("certs", "rotate", "HDFX", expect=1)
    assert wrong.stderr.startswith("error: there is no certificate 'HDFX'; there are gateway, HDFC")
    assert "give one alone" in cluster.run("certs", "rotate", "HDFC", "--ca", expect=2).stderr


def test_a_node_that_hangs_holds_a_change_of_authority_up_and_nothing_breaks(cluster):
    """The node is frozen by hand, so that nobody starts it again meanwhile; then the change is gone on with."""
    cluster.run("chaos", "pause", "SBI", "--hold")
    try:
        held_up = cluster.run("certs", "rotate", "--ca", "--wait", "1s", expect=1)
    finally:
        cluster.run("chaos", "resume", "SBI")
    assert "SBI does not trust what" in held_up.stderr
    assert listed(cluster)["ca"]["fault"].startswith("another takes over")
    cluster.run("certs", "rotate", "--ca")
    assert is_sound(listed(cluster))


def test_a_client_from_before_meets_a_gateway_from_after_with_the_certificate_that_lies_there(cluster):
    folder = ClusterFolder(cluster.folder)
    request = PaymentRequest(new_payment_id(), "alice@ICICI", "bob@HDFC", 1, "INR")
    with connect(load(folder.config), folder) as client:
        client.log_in("alice", "alice123")
        cluster.run("certs", "rotate", "--ca")
        assert client.balances("ICICI").balances
        cluster.run("restart", "gateway")
        with pytest.raises(NotLoggedIn, match="given to another certificate"):
            client.pay(request)
        client.log_in("alice", "alice123")
        assert client.pay(request).outcome == "committed"


def test_a_bank_is_revoked_stays_out_and_comes_back_by_a_successor(cluster):
    cluster.run("certs", "revoke", "HDFC")
    assert listed(cluster)["HDFC"]["fault"] == "was revoked"
    told = "the gateway refuses this bank: the certificate of bank/HDFC was revoked"
    wait_until(lambda: told in cluster.nodes()["HDFC"]["reason"], "HDFC knows why")
    assert "revoked" in cluster.run("status", expect=2).stdout
    cluster.run("down")
    cluster.run("up", "--wait", "1s", expect=None)
    wait_until(lambda: all(cluster.nodes()[name]["is_ready"] for name in ("gateway", "ICICI", "SBI")), "others")
    assert "HDFC is away" in cluster.shell("alice", "pay bob@HDFC 1 from ICICI", expect=None)
    assert "Paid" in cluster.shell("bob", "pay charlie@SBI 1 from ICICI")
    cluster.run("certs", "rotate")
    assert listed(cluster)["HDFC"]["fault"] == "was revoked"
    cluster.run("certs", "rotate", "HDFC")
    wait_until(lambda: cluster.nodes()["HDFC"]["is_ready"], "HDFC is back")
    assert is_sound(listed(cluster))


def test_what_a_thief_of_the_gateways_key_could_use_ends_under_load(cluster):
    with customers_of(cluster.folder) as customers:
        cluster.run("certs", "rotate", "gateway", "--revoke")
        customers.pay_more(40)
    assert not customers.failures
    assert is_sound(listed(cluster))


def test_up_renews_what_expires_opens_what_is_new_and_brings_back_who_had_expired(cluster):
    """A node that runs into the end of its certificate: it is not answered, killed, cannot start, and is FATAL."""
    folder = ClusterFolder(cluster.folder)
    config = load(folder.config)
    [sbi] = [leaf for leaf in list_leafs(config, folder) if leaf.name == "SBI"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "LEAF_LIFE", timedelta(seconds=-1))
        make_leaf(sbi, load_authority(folder))
    cluster.run("chaos", "kill", "SBI")
    wait_until(lambda: cluster.nodes()["SBI"]["state"] == "FATAL", "SBI cannot start")
    assert "expired at" in cluster.nodes()["SBI"]["reason"]
    users = json.loads(config.users.read_text())
    [bob] = [user for user in users["users"] if user["name"] == "bob"]
    bob["accounts"]["SBI"] = "12.00"
    config.users.write_text(json.dumps(users))
    done = cluster.run("up")
    assert "certificates: bank/SBI.crt: expired at" in done.stderr
    assert "accounts: those of SBI are written anew" in done.stderr
    assert is_sound(listed(cluster))
    assert "₹12.00" in cluster.shell("bob", "balance SBI")
    assert "SBI.crt" not in cluster.run("up").stderr


def test_the_key_that_signs_logins_rolls_and_older_logins_hold_unless_they_shall_not(cluster):
    folder = ClusterFolder(cluster.folder)
    with connect(load(folder.config), folder) as client:
        client.log_in("alice", "alice123")
        for overlap, holds in (("1h", True), ("0s", False)):
            before = cluster.nodes()["gateway"]["certificate"]["token_key"]
            cluster.run("certs", "rotate", "--tokens", "--overlap", overlap)
            assert cluster.nodes()["gateway"]["certificate"]["token_key"] != before
            if holds:
                assert client.balances("ICICI").balances
            else:
                with pytest.raises(NotLoggedIn):
                    client.balances("ICICI")


def test_what_is_about_to_expire_is_shown_and_renewed_while_it_runs(cluster):
    folder = ClusterFolder(cluster.folder)
    [hdfc] = [leaf for leaf in list_leafs(load(folder.config), folder) if leaf.name == "HDFC"]
    running = processes(cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "LEAF_LIFE", timedelta(days=3, minutes=1))
        make_leaf(hdfc, load_authority(folder))
    wait_until(lambda: "hint: cluster certs rotate" in cluster.run("status").stdout, "the status tells")
    assert re.search(r"HDFC +bank .* 3d ", cluster.run("status").stdout)
    assert "certificates: bank/HDFC.crt: expires at" in cluster.run("certs", "renew").stderr
    wait_until(lambda: is_sound(listed(cluster)), "HDFC shows its new certificate")
    assert cluster.run("certs", "renew").stderr == "certificates: all serve, and none ends within a week\n"
    assert processes(cluster) == running
