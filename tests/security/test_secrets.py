"""I16: what a whole session leaves behind and shows holds no password, token, key or hash.

A cluster is brought up by the command, used in every way by right and by wrong, and
taken down; then all that was printed, every file, and every process's arguments and
environment are searched for each secret.
"""

import base64
import json
import re
import stat
from pathlib import Path

import psutil
import pytest
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import Identity, PeerKind
from nodes.runtime.tls import TlsFiles, dial_blocking, load_tls
from tests.running_cluster import RunningCluster

pytestmark = pytest.mark.cluster
WRONG_PASSWORD = "hunter2-hunter2"
MEMO = "between us alone"


class Session:
    """What was printed, the secrets that passed through, and what the processes showed meanwhile."""

    def __init__(self, cluster: RunningCluster) -> None:
        self.cluster = cluster
        self.printed: list[str] = []
        self.shown: list[str] = []
        self.secrets: dict[str, bytes] = {"a wrong password": WRONG_PASSWORD.encode(), "a memo": MEMO.encode()}

    def run(self, *words: str, **options: object) -> str:
        done = self.cluster.run(*words, expect=None, **options)  # type: ignore[arg-type]
        self.printed.append(done.stdout + done.stderr)
        return done.stdout

    def look_at_processes(self) -> None:
        for process in psutil.process_iter():
            try:
                if str(self.cluster.folder) in " ".join(process.cmdline()):
                    self.shown.append("\0".join(process.cmdline()))
                    self.shown.append("\0".join(f"{k}={v}" for k, v in process.environ().items()))
            except psutil.Error:
                continue


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    cluster = RunningCluster(tmp_path_factory.mktemp("session"))
    session = Session(cluster)
    try:
        session.run("up", password="alice123")  # in the environment of whoever starts it
        use(session)
        session.look_at_processes()
        collect_keys(session)
    finally:
        session.run("down")
    return session


def use(session: Session) -> None:
    pay = f'pay bob@HDFC 5 from ICICI memo "{MEMO}"'
    session.run("shell", "-u", "alice", "-e", pay, "-e", "history", "-o", "json", password="alice123")
    session.run("shell", "-u", "alice", "-e", "pay bob@HDFC 5 from ICICI", password=WRONG_PASSWORD)
    session.run("status", "-o", "json")
    session.run("doctor")
    session.run("certs", "ls")
    session.run("logs", "-n", "500")
    session.run("events")
    folder = session.cluster.folder / "certs"
    client = folder / "client"
    files = TlsFiles(folder / "ca" / "ca.crt", client / "shell.crt", client / "shell.key")
    name = load_tls(files, kind=PeerKind.CLIENT).identity.cluster
    gateway = Identity(name, PeerKind.GATEWAY)
    address = f"localhost:{session.cluster.gateway_port}"
    with dial_blocking(address, load_tls(files, kind=PeerKind.CLIENT), gateway) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        for password in ("alice123", "eve123"):
            user = password.removesuffix("123")
            token = stub.Login(payment_pb2.LoginRequest(user=user, password=password), timeout=10).token
            metadata = [("authorization", f"Bearer {token}")]
            stub.GetBalance(payment_pb2.GetBalanceRequest(user=user if user == "eve" else ""), metadata=metadata)
            session.secrets[f"the token of {user}"] = token.encode()
            session.secrets[f"the token's signature of {user}"] = token.rpartition(".")[2].encode()


def collect_keys(session: Session) -> None:
    folder = session.cluster.folder
    for path in folder.rglob("*.key"):
        lines = path.read_text().splitlines()[1:-1]
        session.secrets[f"the key {path.name}"] = lines[0].encode()
        session.secrets[f"the key {path.name}, raw"] = base64.b64decode("".join(lines))[36:68]
    for user in json.loads((folder / "users.json").read_text())["users"]:
        session.secrets[f"the hash of {user['name']}"] = user["password_hash"].rpartition("$")[2].encode()
        session.secrets[f"the password of {user['name']}"] = f"{user['name']}123".encode()


def holders(session: Session) -> set[str]:
    """Return where each secret belongs, by the file's name."""
    return {path.name for path in session.cluster.folder.rglob("*.key")} | {"users.json"}


def test_no_file_holds_a_secret_but_the_one_that_it_belongs_to(session):
    found = []
    for path in session.cluster.folder.rglob("*"):
        if not path.is_file() or path.name in holders(session):
            continue
        content = path.read_bytes()
        for name, secret in session.secrets.items():
            # A memo is part of the books: of the gateway's, and of the outbox that sent it.
            is_kept = name == "a memo" and path.name.partition(".db")[0] in ("gateway", "outbox")
            if secret in content and not is_kept:
                found.append(f"{name} in {path.relative_to(session.cluster.folder)}")
    assert not found


def test_nothing_printed_holds_a_secret_but_the_memo_its_owner_asked_for(session):
    printed = "\n".join(session.printed).encode()
    # `up` and `doctor` say the well-known passwords, once, as those to be changed.
    said = {"a memo", *(f"the password of {user}" for user in ("alice", "bob", "charlie", "dave", "eve"))}
    assert not [name for name, secret in session.secrets.items() if secret in printed and name not in said]


def test_no_process_shows_a_secret_in_its_arguments_or_environment(session):
    assert len(session.shown) >= 10, "the nodes, the supervisor and the prober were looked at"
    shown = "\n".join(session.shown).encode()
    assert not [name for name, secret in session.secrets.items() if secret in shown]


def test_each_secret_was_there_to_be_found(session):
    """The search can fail: every secret is found where it belongs."""
    folder = session.cluster.folder
    everywhere = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for name, secret in session.secrets.items():
        if re.match(r"the (hash|key .*key$)", name):
            assert secret in everywhere, name


def test_keys_and_books_are_for_their_owner_alone(session):
    for path in Path(session.cluster.folder).rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.suffix in (".key", ".db", ".log", ".sock") or path.name == "transactions.json":
            assert not mode & 0o077, f"{path.relative_to(session.cluster.folder)} has mode {mode:o}"


def up_with(cluster, paths, mode):
    """Bring the cluster up, and down again, with this mode of some paths; return all that `up` said."""
    for path in paths:
        path.chmod(mode)
    try:
        done = cluster.run("up")
    finally:
        cluster.run("down", expect=None)
    return done.stdout + done.stderr


def test_keys_that_others_could_read_are_closed_before_anything_is_started_and_named(session):
    cluster = session.cluster
    keys = sorted((cluster.folder / "certs").rglob("*.key"))
    assert len(keys) >= 8
    said = up_with(cluster, keys, 0o644)
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key.name
        assert key.name in said


def test_folders_that_others_could_put_files_into_are_closed_before_anything_is_started_and_named(session):
    cluster = session.cluster
    folders = [cluster.folder / "logs", cluster.folder / "state"]
    said = up_with(cluster, folders, 0o777)
    for folder in folders:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder.name
        assert f"{folder.name}: could be changed by others; closed" in said
