"""What brings a process to a point: one function for each `orchestrator.chaos.crash_registry.Provocation`.

Each is a generator in parts: what must be so before the crash is ordered; after its first
``yield`` what brings the process there, which may meet a cluster that is gone: whatever it
asks for may fail; and after a second one, if there is one, what people do then.
"""

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
from interbank.v1 import bank_pb2, bank_pb2_grpc, payment_pb2, payment_pb2_grpc, registry_pb2, registry_pb2_grpc

from nodes.client import ClientError, Outbox, PaymentRequest, new_payment_id
from nodes.core.names import PeerKind
from nodes.core.violations import parse_payment_id
from nodes.runtime.tls import TlsFiles, dial_blocking, load_tls
from orchestrator.chaos.crash_registry import Provocation
from orchestrator.matrix.ground import BANKS, PAYERS, SHELL_USER, Ground

_FROZEN_S = 2.7
"""Longer than a payment may take (2 s), and than a bank keeps quiet about what it holds (1 s)."""
_CALL_S = 3.0
_POLL_S = 0.02
_A_DAY_AND_AN_HOUR_S = 25 * 3600

Steps = Iterator[None]


@dataclass(slots=True)
class Scene:
    """Where it happens: ``process`` is who is to crash, ``is_struck`` tells whether it has."""

    ground: Ground
    process: str
    is_struck: Callable[[], bool]
    memo: str
    """Marks the payments of this scene's shell."""
    said: str = ""
    """What its shells said."""

    @property
    def bank(self) -> str:
        """The bank that crashes, or one of them if it is another process."""
        return self.process if self.process in BANKS else BANKS[0]

    @property
    def node(self) -> str:
        """The node that crashes, or a bank if it is no node."""
        return self.process if self.process == "gateway" else self.bank

    def request(self) -> PaymentRequest:
        """Write a payment of the shell's user."""
        accounts = f"{SHELL_USER}@{BANKS[0]}", f"{PAYERS[0]}@{BANKS[1]}"
        return PaymentRequest(new_payment_id(), *accounts, 100, "INR", self.memo)

    def shell(self, *lines: str, wait: str = "5s") -> None:
        """Carry out lines in a shell, which may crash."""
        options = [word for line in lines for word in ("-e", line)]
        self.said += self.ground.run("shell", "-u", SHELL_USER, "--wait", wait, *options, may_fail=True)


def provoke(provocation: Provocation, scene: Scene) -> Steps:
    """Return the steps of a provocation."""
    return _PROVOCATIONS[provocation](scene)


# -- payments run -------------------------------------------------------------------


def _load(_: Scene) -> Steps:
    yield


def _stream(scene: Scene) -> Steps:
    yield
    ground = scene.ground
    files = TlsFiles(ground.folder.ca_certificate, ground.folder.shell_certificate, ground.folder.shell_key)
    tls = load_tls(files, kind=PeerKind.CLIENT, name="shell")
    gateway = ground.identity(PeerKind.GATEWAY)
    with dial_blocking(ground.config.gateway.address, tls, gateway) as channel, suppress(grpc.RpcError):
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        login = payment_pb2.LoginRequest(user=SHELL_USER, password=ground.password)
        metadata = (("authorization", f"Bearer {stub.Login(login, timeout=_CALL_S).token}"),)
        payments = [_write(scene.request()) for _ in range(50)]
        message = payment_pb2.PayManyRequest(payments=payments)
        list(stub.PayMany(iter([message]), timeout=_CALL_S, metadata=metadata))


def _write(request: PaymentRequest) -> payment_pb2.PayRequest:
    return payment_pb2.PayRequest(**{name: getattr(request, name) for name in PaymentRequest.__slots__})


# -- nodes come and go --------------------------------------------------------------


def _restart(scene: Scene) -> Steps:
    yield
    scene.ground.order("kill", scene.node)


def _stop(scene: Scene) -> Steps:
    yield
    scene.ground.order("restart", scene.node)


def _kill_bank(scene: Scene) -> Steps:
    yield
    scene.ground.order("kill", scene.bank)


def _kill_gateway(scene: Scene) -> Steps:
    yield
    scene.ground.order("kill", "gateway")


def _freeze_bank(scene: Scene) -> Steps:
    yield
    other = next(bank for bank in BANKS if bank != scene.process)
    scene.ground.order("pause", other, hold=True)
    ends_s = time.monotonic() + _FROZEN_S
    while time.monotonic() < ends_s and not scene.is_struck():
        time.sleep(_POLL_S)
    scene.ground.order("resume", other)


def _rotate(scene: Scene) -> Steps:
    yield
    scene.ground.run("certs", "rotate", scene.node, may_fail=True)


# -- calls --------------------------------------------------------------------------


def _log_in_and_out(scene: Scene) -> Steps:
    yield
    with suppress(ClientError), scene.ground.connect(SHELL_USER) as client:
        client.log_out()


def _ask_the_impossible(scene: Scene) -> Steps:
    yield
    unknown = parse_payment_id(new_payment_id())
    asked = bank_pb2.TransactionKey(payment_id=unknown, payer=PAYERS[0], epoch=2**40)
    with _registry(scene) as channel, suppress(grpc.RpcError):
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        stub.GetDecisions(registry_pb2.GetDecisionsRequest(transactions=[asked]), timeout=_CALL_S)


def _resolve(scene: Scene) -> Steps:
    """Have a bank hold what a gateway of an epoch to come was promised: as if its records were an old copy."""
    ground, payment_id = scene.ground, new_payment_id()
    ground.run("down")
    connection = sqlite3.connect(ground.folder.database(scene.bank))
    with connection:
        held = parse_payment_id(payment_id), PAYERS[0], 2**40, PAYERS[0], PAYERS[1], 1, "INR", 0
        connection.execute("INSERT INTO hold VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", held)
        connection.execute("UPDATE account SET held = held + 1 WHERE name = ?", (PAYERS[0],))
        connection.execute("UPDATE account SET incoming = incoming + 1 WHERE name = ?", (PAYERS[1],))
    connection.close()
    ground.run("up", may_fail=True)  # what is in doubt is told by its exit code
    words = "indoubt", "resolve", scene.bank, payment_id, "--abort", "--reason", scene.memo, "--by", "matrix"
    yield
    ground.run(*words, may_fail=True)
    yield
    ground.bring_back()
    # What the crash has kept from being written is settled now; what was written is not settled twice.
    ground.run(*words, may_fail=True)


def _move(scene: Scene) -> Steps:
    yield
    with _registry(scene) as channel, suppress(grpc.RpcError):
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        request = registry_pb2.RegisterBankRequest(name=scene.bank, address="localhost:1")
        stub.RegisterBank(request, timeout=_CALL_S)


def _registry(scene: Scene) -> grpc.Channel:
    """Call the gateway with a bank's certificate."""
    ground, bank = scene.ground, scene.bank
    folder = ground.folder
    files = TlsFiles(folder.ca_certificate, folder.bank_certificate(bank), folder.bank_key(bank))
    tls = load_tls(files, kind=PeerKind.BANK, name=bank)
    return dial_blocking(ground.config.gateway.address, tls, ground.identity(PeerKind.GATEWAY))


def _say_late(scene: Scene) -> Steps:
    """Speak with the gateway's certificate, of payments that no client ever asked for."""
    yield
    ground, folder = scene.ground, scene.ground.folder
    files = TlsFiles(folder.ca_certificate, folder.gateway_certificate, folder.gateway_key)
    tls = load_tls(files, kind=PeerKind.GATEWAY)
    bank = ground.identity(PeerKind.BANK, scene.bank)
    with dial_blocking(ground.config.banks[scene.bank].address, tls, bank) as channel, suppress(grpc.RpcError):
        stream = bank_pb2_grpc.BankServiceStub(channel).Transact(_late_messages(scene.bank), timeout=_CALL_S)
        while not scene.is_struck() and next(stream, None):
            pass


def _late_messages(bank: str) -> Iterator[bank_pb2.TransactRequest]:
    late, never = (parse_payment_id(new_payment_id()) for _ in range(2))
    abort = bank_pb2.Decides(payment_ids=[late], payers=[PAYERS[0]], epochs=[1], commits=[False])
    prepare = bank_pb2.Prepares(
        payment_ids=[late],
        payers=[PAYERS[0]],
        payer_banks=[bank],
        payees=[PAYERS[1]],
        payee_banks=[bank],
        amounts_minor=[1],
        currencies=["INR"],
        logins=[""],
        login_numbers=[0],
        fingerprints=[0],
        taken_at_us=[0],
    )
    commit = bank_pb2.Decides(payment_ids=[never], payers=[PAYERS[0]], epochs=[1], commits=[True])
    contents = ({"decides": abort}, {"prepares": prepare}, {"decides": abort}, {"decides": commit})
    for number, content in enumerate(contents, 1):
        yield bank_pb2.TransactRequest(epoch=1, number=number, **content)  # type: ignore[arg-type]
        time.sleep(_POLL_S)


# -- shells -------------------------------------------------------------------------


def _pay_by_shell(scene: Scene) -> Steps:
    yield
    scene.shell(f'pay {PAYERS[0]}@{BANKS[1]} 1 from {BANKS[0]} memo "{scene.memo}"')


def _pay_behind_another(scene: Scene) -> Steps:
    """Send as another shell would, for as long as this one is there: one at a time may."""
    with scene.ground.folder.outbox.with_suffix(".delivering").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield
        scene.shell(f'pay {PAYERS[0]}@{BANKS[1]} 1 from {BANKS[0]} memo "{scene.memo}"')


def _end_login(scene: Scene) -> Steps:
    """Have a shell log in, then let its tokens be worth nothing, then have it pay."""
    from orchestrator.identity.certificates import ensure_certificates

    ground = scene.ground
    shell = ground.start("shell", "-u", SHELL_USER, "--wait", "5s", stdin=-1, stdout=-1, stderr=-3)
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdout.readline()
    ground.folder.token_key.unlink()
    list(ensure_certificates(ground.config, ground.folder))
    ground.run("restart", "gateway")
    yield
    with suppress(BrokenPipeError):
        shell.communicate(f'pay {PAYERS[0]}@{BANKS[1]} 1 from {BANKS[0]} memo "{scene.memo}"\n', timeout=20.0)


def _wait_too_long(scene: Scene) -> Steps:
    outbox = Outbox(scene.ground.folder.outbox)
    outbox.save(SHELL_USER, scene.request())
    connection = sqlite3.connect(outbox.path)
    with connection:
        connection.execute("UPDATE item SET saved_at = saved_at - ? WHERE state = 1", (_A_DAY_AND_AN_HOUR_S,))
    connection.close()
    yield
    scene.shell("outbox send")


def _wait_for_an_answer_too_long(scene: Scene) -> Steps:
    """Have a payment in the outbox that was sent a day ago and may have happened: it is asked for."""
    outbox = Outbox(scene.ground.folder.outbox)
    outbox.mark_sent(outbox.save(SHELL_USER, scene.request()))
    connection = sqlite3.connect(outbox.path)
    with connection:
        aged = "UPDATE item SET saved_at = saved_at - ?1, sent_at = sent_at - ?1 WHERE state = 2"
        connection.execute(aged, (_A_DAY_AND_AN_HOUR_S,))
    connection.close()
    yield
    scene.shell("outbox send")


def _cancel(scene: Scene) -> Steps:
    """Cancel what is queued, in a shell that cannot send it: nothing is up."""
    scene.ground.run("down")
    request = scene.request()
    Outbox(scene.ground.folder.outbox).save(SHELL_USER, request)
    yield
    scene.shell(f"outbox cancel {request.payment_id}", wait="100ms")


# -- the cluster --------------------------------------------------------------------


def _up(scene: Scene) -> Steps:
    scene.ground.run("down")
    yield
    scene.ground.run("up", may_fail=True)


def _first_up(scene: Scene) -> Steps:
    scene.ground.run("down", "--wipe", "--yes")
    yield
    scene.ground.run("up", may_fail=True)


def _down(scene: Scene) -> Steps:
    yield
    scene.ground.run("down", may_fail=True)


def _wipe(scene: Scene) -> Steps:
    scene.ground.run("up")
    yield
    scene.ground.run("down", "--wipe", "--yes", may_fail=True)
    yield
    # What was begun is gone on with by the same command.
    scene.ground.run("down", "--wipe", "--yes")


_PROVOCATIONS: dict[Provocation, Callable[[Scene], Steps]] = {
    Provocation.LOAD: _load,
    Provocation.STREAM: _stream,
    Provocation.RESTART: _restart,
    Provocation.STOP: _stop,
    Provocation.BANK_KILLED: _kill_bank,
    Provocation.GATEWAY_KILLED: _kill_gateway,
    Provocation.BANK_FROZEN: _freeze_bank,
    Provocation.LOGIN: _log_in_and_out,
    Provocation.CONTRADICTION: _ask_the_impossible,
    Provocation.RESOLUTION: _resolve,
    Provocation.MOVE: _move,
    Provocation.LATE: _say_late,
    Provocation.ROTATION: _rotate,
    Provocation.SHELL: _pay_by_shell,
    Provocation.SHELL_BEHIND: _pay_behind_another,
    Provocation.SHELL_TOKEN: _end_login,
    Provocation.SHELL_EXPIRED: _wait_too_long,
    Provocation.SHELL_OVERDUE: _wait_for_an_answer_too_long,
    Provocation.SHELL_CANCEL: _cancel,
    Provocation.UP: _up,
    Provocation.FIRST_START: _first_up,
    Provocation.DOWN: _down,
    Provocation.WIPE: _wipe,
}
