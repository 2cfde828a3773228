"""Rotation: each step waited for, and whatever crashes, every node can start from what lies there."""

import time

import pytest

from nodes.runtime.tls import TlsFiles, load_tls
from nodes.runtime.token_keys import load_token_keys, name_key
from orchestrator.identity import authority, certificates, pem, rotation
from orchestrator.identity.authority import is_changing, load_authority, load_trusted
from orchestrator.identity.certificates import ensure_certificates, find_fault, list_certificates, list_leafs
from orchestrator.identity.revocation import find_identity, revoke
from orchestrator.identity.rotation import (
    CannotRotate,
    demand_authority,
    find_leafs,
    revoke_older,
    rotate_authority,
    rotate_leafs,
    rotate_token_key,
)
from orchestrator.layout import files
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder

CONFIG = "name: payments.test\nbanks:\n  HDFC: {address: localhost:1001}\n  SBI: {address: localhost:1002}\n"


class Crash(BaseException):
    pass


class Nodes:
    """Nodes that take all at once, or from some step on nothing; ``seen`` is what they were waited for with."""

    def __init__(self, folder, steps=100):
        self.folder = folder
        self.steps = steps
        self.seen = []

    def wait_shown(self, leaf, serial):
        self._wait(leaf.name)

    def wait_trusted(self, serials):
        self._wait(len(serials))

    def wait_token_key(self, name):
        self._wait(name_key(load_token_keys(self.folder.token_key).signs.public_key()) == name)

    def wait_revoked(self, identity, since):
        self._wait(f"{identity.path} revoked")

    def _wait(self, what):
        can_all_start(self.folder)
        self.steps -= 1
        if self.steps < 0:
            raise CannotRotate("a node does not answer")
        self.seen.append(what)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster.yaml").write_text(CONFIG)
    folder = ClusterFolder(tmp_path)
    list(ensure_certificates(load(folder.config), folder))
    return folder


def can_all_start(folder):
    for leaf in list_leafs(load(folder.config), folder):
        kind = leaf.identity.kind
        load_tls(TlsFiles(folder.ca_certificate, leaf.certificate, leaf.key), kind=kind)


def serials(folder):
    return {row.name: row.serial for row in list_certificates(folder, load(folder.config))}


def is_at_rest(folder):
    can_all_start(folder)
    signs = load_authority(folder)
    leafs = list_leafs(load(folder.config), folder)
    return not is_changing(folder) and not any(find_fault(leaf, signs.certificate) for leaf in leafs)


def rotate(folder, nodes):
    config = load(folder.config)
    leafs = find_leafs(config, folder, ())
    return list(rotate_leafs(leafs, demand_authority(config, folder), nodes))


def rotate_ca(folder, nodes):
    return list(rotate_authority(load(folder.config), folder, nodes))


def crash_at(monkeypatch, number):
    """Let the n-th write of a file be the last thing that happens."""
    writes = []

    def write_or_crash(path, content, **mode):
        writes.append(path)
        if len(writes) == number:
            raise Crash
        files.write_whole(path, content, **mode)

    for module in (authority, certificates, pem, rotation):
        monkeypatch.setattr(module, "write_whole", write_or_crash)


def test_all_leafs_are_replaced_and_each_is_waited_for(folder):
    before, nodes = serials(folder), Nodes(folder)
    assert len(rotate(folder, nodes)) == 5
    assert nodes.seen == ["gateway", "HDFC", "SBI", "operator", "shell"]
    after = serials(folder)
    assert [name for name in before if before[name] == after[name]] == ["ca"]
    assert is_at_rest(folder)


def test_one_leaf_is_replaced_alone(folder):
    before = serials(folder)
    config = load(folder.config)
    list(rotate_leafs(find_leafs(config, folder, ["HDFC"]), demand_authority(config, folder), Nodes(folder)))
    assert [name for name in before if before[name] != serials(folder)[name]] == ["HDFC"]


def test_a_name_that_is_none_is_refused_with_those_that_are(folder):
    with pytest.raises(CannotRotate, match="there is no certificate 'XX'; there are gateway, HDFC, SBI"):
        find_leafs(load(folder.config), folder, ["HDFC", "XX"])


def test_both_authorities_are_trusted_everywhere_before_the_new_one_signs_and_until_all_is_signed_by_it(folder):
    before, nodes = serials(folder), Nodes(folder)
    rotate_ca(folder, nodes)
    assert nodes.seen == [2, "gateway", "HDFC", "SBI", "operator", "shell", 1]
    assert not set(before.values()) & set(serials(folder).values())
    assert is_at_rest(folder)


@pytest.mark.parametrize("steps", range(7))
def test_a_step_that_does_not_come_about_leaves_all_working_and_is_gone_on_with(folder, steps):
    with pytest.raises(CannotRotate):
        rotate_ca(folder, Nodes(folder, steps))
    can_all_start(folder)
    began = {f"{each.serial_number:x}" for each in load_trusted(folder)}
    rotate_ca(folder, Nodes(folder))
    assert is_at_rest(folder)
    # It went on, and did not begin anew: what signs now was trusted then, unless only the last look was missing.
    assert serials(folder)["ca"] in began or steps == 6


@pytest.mark.parametrize(
    "go_on", [rotate_ca, lambda folder, _: list(ensure_certificates(load(folder.config), folder))]
)
@pytest.mark.parametrize("number", range(1, 20))
def test_a_crash_at_any_write_of_a_change_of_authority_leaves_all_working_and_is_gone_on_with(
    folder, monkeypatch, number, go_on
):
    with monkeypatch.context() as patch:
        crash_at(patch, number)
        with pytest.raises(Crash):
            rotate_ca(folder, Nodes(folder))
    can_all_start(folder)
    go_on(folder, Nodes(folder))
    assert is_at_rest(folder)


@pytest.mark.parametrize("number", range(1, 16))
def test_a_crash_at_any_write_of_a_rotation_leaves_all_working_and_is_mended(folder, monkeypatch, number):
    with monkeypatch.context() as patch:
        crash_at(patch, number)
        with pytest.raises(Crash):
            rotate(folder, Nodes(folder))
    can_all_start(folder)
    list(ensure_certificates(load(folder.config), folder))
    assert is_at_rest(folder)
    assert all(leaf.key.read_bytes().count(b"BEGIN") == 1 for leaf in list_leafs(load(folder.config), folder))


def test_a_change_of_authority_that_stopped_is_a_fault_in_the_list(folder):
    with pytest.raises(CannotRotate):
        rotate_ca(folder, Nodes(folder, 2))
    [ca, *_] = list_certificates(folder, load(folder.config))
    assert ca.fault == "another takes over: `cluster certs rotate --ca` ends it"


def test_what_is_older_is_revoked_after_its_successor_is_in_use(folder):
    config, nodes = load(folder.config), Nodes(folder)
    leafs = find_leafs(config, folder, ["gateway"])
    list(rotate_leafs(leafs, demand_authority(config, folder), nodes))
    list(revoke_older(folder, leafs, nodes))
    assert nodes.seen == ["gateway", "gateway revoked"]
    assert is_at_rest(folder)


def test_a_revoked_one_is_rotated_by_name_alone_and_holds_up_a_change_of_authority(folder):
    config = load(folder.config)
    revoke(folder, find_identity(config, "HDFC"))
    assert [leaf.name for leaf in find_leafs(config, folder, ())] == ["gateway", "SBI", "operator", "shell"]
    with pytest.raises(CannotRotate, match="HDFC was revoked: `cluster certs rotate HDFC`"):
        rotate_ca(folder, Nodes(folder))
    list(rotate_leafs(find_leafs(config, folder, ["HDFC"]), demand_authority(config, folder), Nodes(folder)))
    rotate_ca(folder, Nodes(folder))
    assert is_at_rest(folder)


def test_without_an_authority_nothing_is_rotated(folder):
    folder.ca_key.unlink()
    with pytest.raises(CannotRotate, match=r"its key was missing: `cluster down`, then `cluster up`"):
        rotate(folder, Nodes(folder))


def test_another_key_signs_logins_and_the_old_one_is_known_for_as_long_as_what_it_signed(folder):
    old = load_token_keys(folder.token_key).signs.public_key()
    nodes = Nodes(folder)
    began = time.time()
    list(rotate_token_key(folder, 5.0, nodes))
    list(rotate_token_key(folder, 10_000.0, nodes))
    keys = load_token_keys(folder.token_key)
    assert nodes.seen == [True, True]
    assert keys.retired[0].public_key == old
    # Never longer than a login lives, and a minute for a gateway that is slow to take the new key.
    assert [round((key.until - began) / 60) for key in keys.retired] == [1, 61]
    list(rotate_token_key(folder, 0.0, nodes))
    assert load_token_keys(folder.token_key).retired == ()


@pytest.mark.parametrize("number", [1, 2])
def test_a_crash_while_the_token_key_rolls_leaves_every_login_good(folder, monkeypatch, number):
    old = load_token_keys(folder.token_key).signs.public_key()
    with monkeypatch.context() as patch:
        crash_at(patch, number)
        with pytest.raises(Crash):
            list(rotate_token_key(folder, 60.0, Nodes(folder)))
    keys = load_token_keys(folder.token_key)
    assert old in [keys.signs.public_key(), *(key.public_key for key in keys.retired)]
    assert is_at_rest(folder)
