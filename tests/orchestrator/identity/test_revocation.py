"""Revocation on disk: what was issued is worth nothing, a successor is good, and `up` issues none by itself."""

import json

import pytest

from nodes.core.names import PeerKind
from nodes.runtime.revocations import NOBODY, RevocationsUnusable, load_revocations
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.identity.authority import load_authority
from orchestrator.identity.certificates import ensure_certificates, list_certificates, list_leafs, make_leaf
from orchestrator.identity.revocation import CannotRevoke, find_identity, revoke
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder

CONFIG = "name: payments.test\nbanks:\n  HDFC: {address: localhost:1001}\n  SBI: {address: localhost:1002}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster.yaml").write_text(CONFIG)
    folder = ClusterFolder(tmp_path)
    ensure(folder)
    return folder


def ensure(folder):
    return [f"{change}" for change in ensure_certificates(load(folder.config), folder)]


def hdfc(folder):
    files = TlsFiles(
        folder.ca_certificate, folder.bank_certificate("HDFC"), folder.bank_key("HDFC"), folder.revoked
    )
    return load_tls(files, kind=PeerKind.BANK, name="HDFC")


def revoke_hdfc(folder):
    return revoke(folder, find_identity(load(folder.config), "HDFC"))


def reissue(folder):
    [leaf] = [leaf for leaf in list_leafs(load(folder.config), folder) if leaf.name == "HDFC"]
    make_leaf(leaf, load_authority(folder))


def faults(folder):
    return {row.name: row.fault for row in list_certificates(folder, load(folder.config)) if row.fault}


def test_at_first_nobody_is_revoked(folder):
    assert load_revocations(folder.revoked) == NOBODY
    assert not hdfc(folder).is_revoked


def test_what_was_issued_is_worth_nothing_and_up_leaves_it_so(folder):
    revoke_hdfc(folder)
    assert hdfc(folder).is_revoked
    assert faults(folder) == {"HDFC": "was revoked"}
    assert ensure(folder) == ["bank/HDFC.crt: was revoked; left so until `cluster certs rotate HDFC`"]
    assert hdfc(folder).is_revoked


def test_again_and_again_a_successor_is_good_and_all_before_it_is_not(folder):
    """Within one second, too: certificates count in whole ones."""
    moments = []
    for _ in range(2):
        moments.append(revoke_hdfc(folder))
        assert hdfc(folder).is_revoked
        reissue(folder)
        assert not hdfc(folder).is_revoked
        assert faults(folder) == {}
    assert moments == sorted(set(moments))
    assert ensure(folder) == []


def test_one_that_was_issued_by_hand_can_be_revoked_too(folder):
    identity = find_identity(load(folder.config), "client/till")
    since = revoke(folder, identity)
    revoke_hdfc(folder)
    assert load_revocations(folder.revoked)[identity] == since
    assert len(load_revocations(folder.revoked)) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gateway", "cut off from itself: `cluster certs rotate gateway --revoke`"),
        ("operator", "`cluster certs rotate operator --revoke`"),
        ("hdfc", r"no certificate 'hdfc' here \(HDFC, SBI, shell\)"),
        ("../x", "names no bank and no client"),
        ("bank/..%2f", "names no bank and no client"),
        ("", "names no bank and no client"),
    ],
)
def test_nobody_else_is(folder, name, said):
    with pytest.raises(CannotRevoke, match=said):
        find_identity(load(folder.config), name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"revoked": 5}',
        '{"revoked": [{}]}',
        '{"revoked": [{"identity": "spiffe://payments.test/bank/HDFC", "before": "now"}]}',
        '{"revoked": [{"identity": "spiffe://payments.test/bank/HDFC", "before": true}]}',
        '{"revoked": [{"identity": "HDFC", "before": 5}]}',
        '{"revoked": [{"identity": 5, "before": 5}]}',
        '{"revoked": ""}',
        '{"revoked": [{"identity": "spiffe://payments.test/bank/HDFC", "before": 5}], "revoked": []}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_list_of_revocations_is_refused_and_not_overwritten(folder, text):
    folder.revoked.write_text(text)
    with pytest.raises(RevocationsUnusable, match=r"revoked.json is no list of revocations"):
        ensure(folder)
    assert folder.revoked.read_text() == text


def test_of_two_rows_that_name_the_same_one_the_lesser_takes_nothing_back(folder):
    rows = [{"identity": "spiffe://payments.test/bank/HDFC", "before": before} for before in (2_000, 1_000)]
    folder.revoked.write_text(json.dumps({"revoked": rows}))
    assert list(load_revocations(folder.revoked).values()) == [2_000]


def test_the_file_is_plain_to_read(folder):
    since = revoke_hdfc(folder)
    rows = json.loads(folder.revoked.read_text())["revoked"]
    assert rows == [{"identity": "spiffe://payments.test/bank/HDFC", "before": since}]
