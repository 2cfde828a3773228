"""What banks hold in doubt, in a real cluster: seen, asked about, and settled by hand where nothing else can."""

import json

import apsw
import pytest

from tests.altered_books import alter
from tests.running_nodes import wait_until

pytestmark = pytest.mark.cluster

LOST = "01890a5d-ac96-774b-bcce-b302099a8057"
HOLD = f"""
INSERT INTO hold
 VALUES (NULL, x'{LOST.replace("-", "")}', 'alice', 9, 'alice', '@ICICI/INR', 500, 'INR', 1700000000000000);
UPDATE account SET held = held + 500 WHERE name = 'alice';
INSERT INTO account VALUES ('@ICICI/INR', 'INR', 0, 0, 500)
 ON CONFLICT (name) DO UPDATE SET incoming = incoming + 500;
"""
"""A promise to an epoch that the gateway has not begun: as if its records had been restored from an old copy."""


def held(cluster):
    return json.loads(cluster.run("indoubt", "ls", "-o", "json").stdout)


def test_what_no_record_settles_is_settled_once_by_hand_with_who_and_why(cluster):
    assert cluster.run("indoubt", "ls").stdout == "Nothing is in doubt.\n"
    assert cluster.run("indoubt", "retry", "SBI").stderr == "SBI: asked about 0, heard of 0\n"
    cluster.run("down")
    alter(cluster.folder / "state" / "HDFC.db", HOLD)
    assert "1 in doubt" in cluster.run("up", expect=4).stdout
    [hold] = held(cluster)
    assert (hold["bank"], hold["payment_id"], hold["epoch"]) == ("HDFC", LOST, 9)
    assert hold["gateway"] == "epoch 9 has not begun at the gateway: its records are older"
    assert "which has not begun" in cluster.run("audit", expect=8).stdout

    for _ in range(3):
        assert cluster.run("indoubt", "retry", "HDFC").stderr == "HDFC: asked about 1, heard of 0\n"
    resolve = ["indoubt", "resolve", "HDFC", LOST, "--reason", "restored from backup", "--by", "eve"]
    assert "ICICI has made no promise" in cluster.run(*resolve, "--commit", expect=1).stderr
    assert "--reason" in cluster.run(*resolve[:4], "--abort", expect=2).stderr
    elsewhere = [*resolve[:2], "AXIS", *resolve[3:], "--abort"]
    assert "there is no bank AXIS" in cluster.run(*elsewhere, expect=1).stderr
    assert "is resolved as aborted" in cluster.run(*resolve, "--abort").stderr
    audited = map(json.loads, (cluster.folder / "logs" / "audit.log").read_text().splitlines())
    [line] = [line for line in audited if line["did"] == "resolve"]
    assert line["certificate"].endswith("/operator")
    assert (line["payment_id"], line["commit"], line["who"]) == (LOST, False, "eve")
    wait_until(lambda: not held(cluster), "HDFC has heard")
    found = cluster.run("audit").stdout
    assert f"resolved by eve as aborted: payment {LOST} of alice, epoch 9: restored from backup" in found
    assert "all agrees" in found
    assert "holds no payment" in cluster.run(*resolve, "--abort", expect=1).stderr

    cluster.run("down")
    database = apsw.Connection(str(cluster.folder / "state" / "gateway.db"))
    assert database.execute("SELECT said FROM contradiction").fetchall() == [
        ("HDFC holds a transaction of epoch 9",)
    ]
    database.close()
    alter(cluster.folder / "state" / "gateway.db", "UPDATE resolution SET who = 'bob'")
    assert (
        "acts of operators after record 0 are not what was written"
        in cluster.run("audit", "--files", expect=8).stdout
    )
    refused = cluster.run("up", "--wait", "20s", expect=None)
    assert refused.returncode
    assert "gateway.db was changed by others than its node" in refused.stdout + refused.stderr
