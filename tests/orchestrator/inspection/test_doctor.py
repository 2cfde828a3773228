"""`cluster doctor`: each thing that is wrong is found, with what to do; exit 1 only when something fails."""

import json
import socket

import pytest
from click.testing import CliRunner

from nodes.runtime.passwords import hash_password
from orchestrator.commands.doctor import doctor
from orchestrator.identity.certificates import ensure_certificates
from orchestrator.inspection import checks
from orchestrator.inspection.checks import examine
from orchestrator.layout.accounts import ensure_accounts
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.supervision.lock import FolderLock
from tests.orchestrator.cluster_of_fakes import free_port

HASH = hash_password("a long one")


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a cluster that was up once and has nothing wrong with it."""
    address = f"{{address: localhost:{free_port()}}}"
    (tmp_path / "cluster.yaml").write_text(
        f"gateway: {{address: localhost:{free_port()}}}\nbanks: {{HDFC: {address}}}\n"
    )
    write_user(tmp_path, HASH)
    folder = ClusterFolder(tmp_path)
    ensure_accounts(load(folder.config), folder)
    list(ensure_certificates(load(folder.config), folder))
    return folder


def write_user(root, password_hash):
    alice = {"name": "alice", "role": "customer", "password_hash": password_hash, "accounts": {"HDFC": "1"}}
    (root / "users.json").write_text(json.dumps({"users": [alice]}))


def troubles(folder):
    return [finding for finding in examine(folder) if finding.verdict != "ok"]


def run(folder, *words):
    return CliRunner().invoke(doctor, ["--file", str(folder.config), *words])


def test_a_sound_cluster_has_no_trouble(folder):
    assert troubles(folder) == []
    assert run(folder).exit_code == 0


def test_before_the_first_up_nothing_is_wrong(tmp_path, folder):
    new = tmp_path / "new"
    new.mkdir()
    for name in ("cluster.yaml", "users.json"):
        (new / name).write_bytes((folder.root / name).read_bytes())
    assert troubles(ClusterFolder(new)) == []


def test_every_mistake_of_the_configuration_is_found(folder):
    folder.config.write_text("name: X\nbancs: {}\n")
    found = troubles(folder)
    assert [finding.verdict for finding in found] == ["fail"] * 3
    assert found[0].found.startswith("cluster.yaml:1: name: ")
    assert run(folder).exit_code == 1


def test_mistakes_in_the_users_are_found(folder):
    write_user(folder.root, "alice123")
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict) == ("users", "fail")
    assert "alice123" not in finding.found


def test_demo_passwords_are_a_warning(folder):
    write_user(folder.root, hash_password("alice123"))
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict) == ("passwords", "warn")
    assert "alice" in finding.found
    assert run(folder).exit_code == 0


def test_a_certificate_that_does_not_serve_is_a_warning(folder):
    folder.bank_key("HDFC").unlink()
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict, finding.found) == ("certificates", "warn", "HDFC: its key was missing")
    assert "cluster up" in finding.advice


def test_a_key_that_others_can_read_fails(folder):
    folder.token_key.chmod(0o640)
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict) == ("keys", "fail")
    assert str(folder.token_key) in finding.found


def test_a_port_that_another_holds_fails_with_its_holder(folder):
    port = int(load(folder.config).banks["HDFC"].address.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        [finding] = troubles(folder)
    assert (finding.check, finding.verdict) == ("ports", "fail")
    assert f"port {port} is in use by process " in finding.found


def test_ports_of_this_cluster_itself_are_no_trouble(folder):
    port = int(load(folder.config).gateway.address.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), FolderLock(folder.supervisor_lock) as lock:
        lock.take()
        assert troubles(folder) == []


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("certs/bank/.HDFC.key.4711.part", "half written"),
        ("state/OLD.db", "no bank in cluster.yaml"),
        ("certs/bank/OLD.crt", "no bank in cluster.yaml"),
        ("state/control.sock", "supervisor that was killed"),
    ],
)
def test_what_is_left_behind_is_a_warning(folder, left, said):
    (folder.root / left).touch()
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict, finding.found) == ("leftovers", "warn", str(folder.root / left))
    assert said in finding.advice


def test_a_disk_that_is_almost_full_and_few_open_files_are_warnings(folder, monkeypatch):
    monkeypatch.setattr(checks, "_DISK_FREE_LOW", 2**63)
    monkeypatch.setattr(checks, "_DESCRIPTORS_LOW", 2**63)
    assert [(finding.check, finding.verdict) for finding in troubles(folder)] == [
        ("disk", "warn"),
        ("open files", "warn"),
    ]


def test_a_library_that_can_lose_commits_fails(folder, monkeypatch):
    monkeypatch.setattr(checks, "_SQLITE_MIN", (99, 0, 0))
    [finding] = troubles(folder)
    assert (finding.check, finding.verdict) == ("sqlite", "fail")


def test_json_has_every_finding(folder):
    shown = json.loads(run(folder, "-o", "json").stdout)
    assert {finding["verdict"] for finding in shown["findings"]} == {"ok"}
    assert len(shown["findings"]) == len(list(examine(folder)))
