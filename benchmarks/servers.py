"""Two PostgreSQL servers of the benchmark's own: found, started in a scratch folder, stopped by their process."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from orchestrator.identity.certificates import ensure_certificates
from orchestrator.layout.config import BankConfig, ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.layout.ports import find_free_ports

ACCOUNTS = 100_000
OPENING = 10_000_000_000
_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"
_STARTS_WITHIN_S = 60
_SCHEMA = Path(__file__).with_name("schema.sql")

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_prepared_transactions": "512",
    "max_connections": "300",
    "shared_buffers": "1GB",
    "wal_buffers": "64MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "ssl": "on",
    "listen_addresses": "localhost",
}
"""What differs from PostgreSQL's defaults, or must not: durable as ours, and out of its own way."""


class ServersMissing(Exception):
    """There is no PostgreSQL here; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server that runs."""

    name: str
    port: int
    pid: int
    tls: ssl.SSLContext

    async def connect(self) -> asyncpg.Connection:
        """Open a connection: TLS with certificates on both sides."""
        return await asyncpg.connect(
            host="localhost", port=self.port, user=_USER, database=_USER, ssl=self.tls, statement_cache_size=100
        )

    def cpu_s(self) -> float:
        """Return the processor's seconds that the server and all its processes have taken."""
        server = psutil.Process(self.pid)
        spent = [process.cpu_times() for process in (server, *server.children())]
        return sum(each.user + each.system for each in spent)


def find_programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs. Raises `ServersMissing`."""
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*folders, *([Path(on_path).parent] if on_path else [])]
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServersMissing("there is no PostgreSQL server here; install one: apt-get install postgresql")


@contextmanager
def two_servers(parent: Path) -> Iterator[tuple[Server, Server]]:
    """Give two servers with a bank's books each; they are stopped and removed at the end."""
    programs = find_programs()
    root = Path(tempfile.mkdtemp(prefix="bench-postgres-", dir=parent))
    first, second = find_free_ports(2)
    running: list[subprocess.Popen[bytes]] = []
    try:
        folder = _make_certificates(root, first, second)
        for name, port in (("HDFC", first), ("ICICI", second)):
            running.append(_start(programs, root / name, port, folder, name))
        tls = _make_context(folder)
        yield Server("HDFC", first, running[0].pid, tls), Server("ICICI", second, running[1].pid, tls)
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)  # a fast shutdown
        for process in running:
            process.wait()
        shutil.rmtree(root)


def _make_certificates(root: Path, first: int, second: int) -> ClusterFolder:
    banks = {"HDFC": BankConfig(address=f"localhost:{first}"), "ICICI": BankConfig(address=f"localhost:{second}")}
    folder = ClusterFolder(root / "authority")
    list(ensure_certificates(ClusterConfig(banks=banks), folder))
    return folder


def _make_context(folder: ClusterFolder) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder.ca_certificate))
    context.load_cert_chain(str(folder.shell_certificate), str(folder.shell_key))
    return context


def _start(
    programs: Path, root: Path, port: int, certificates: ClusterFolder, name: str
) -> "subprocess.Popen[bytes]":
    root.mkdir()
    data = root / "data"
    for source, target in (
        (certificates.ca_certificate, "ca.crt"),
        (certificates.bank_certificate(name), "server.crt"),
        (certificates.bank_key(name), "server.key"),
    ):
        shutil.copy(source, root / target)
    _hand_over(root)
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", _USER, "--auth=reject", "-E", "UTF8", "--no-locale"]
    user = _user()
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, group=user)
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": ""}
    for key, file in (("ssl_ca_file", "ca.crt"), ("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")):
        settings[key] = str(root / file)
    with (data / "postgresql.conf").open("a") as config:
        config.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    # Whoever has a certificate of the authority may come in, and nobody else.
    (data / "pg_hba.conf").write_text("hostssl all all localhost trust clientcert=verify-ca\n")
    with (root / "output").open("wb") as output:
        return subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data)],
            stderr=output,
            user=user,
            group=user,
            start_new_session=True,
        )


def _user() -> str | None:
    """Return who runs the servers, None for whoever runs this: PostgreSQL refuses to be root."""
    return _USER if os.geteuid() == 0 else None


def _hand_over(root: Path) -> None:
    if os.geteuid() == 0:
        root.parent.chmod(0o711)
        for path in (root, *root.iterdir()):
            shutil.chown(path, _USER, _USER)


async def _connect_patiently(server: Server) -> asyncpg.Connection:
    gives_up_s = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            return await server.connect()
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > gives_up_s:
                raise
            await asyncio.sleep(0.05)


async def prepare(server: Server) -> None:
    """Wait until a server answers, and open the accounts."""
    connection = await _connect_patiently(server)
    await connection.execute(_SCHEMA.read_text())
    await connection.execute(f"INSERT INTO account SELECT id, {OPENING} FROM generate_series(1, {ACCOUNTS}) AS id")
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
