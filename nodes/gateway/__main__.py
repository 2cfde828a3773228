"""Start the gateway: ``python -m nodes.gateway --help`` tells all that it needs."""

import argparse
import asyncio
import sys
import time
from contextlib import suppress
from contextvars import Context
from pathlib import Path

import grpc
from interbank.v1 import audit_pb2_grpc, operator_pb2, operator_pb2_grpc, payment_pb2_grpc, registry_pb2_grpc
from structlog.typing import FilteringBoundLogger

from nodes.core.coordinator import Coordinator
from nodes.core.names import Identity, PeerKind
from nodes.gateway.audit_log import PaymentAudit
from nodes.gateway.bank_link import BankLink
from nodes.gateway.logins import Logins
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.money_check import MoneyCheck
from nodes.gateway.operator_service import OperatorService
from nodes.gateway.payment_service import PaymentService
from nodes.gateway.registry_service import RegistryService
from nodes.gateway.store import GatewayStore
from nodes.gateway.tokens import TokenIssuer
from nodes.gateway.transactions_file import TransactionsFile
from nodes.gateway.users import UsersUnusable, load_users
from nodes.runtime.audit_service import AuditService
from nodes.runtime.client_calls import ClientCalls
from nodes.runtime.crash_files import obey_at_files
from nodes.runtime.crash_points import reach
from nodes.runtime.event_log import log_contradiction, open_event_log
from nodes.runtime.failed_handshakes import FailedHandshakes
from nodes.runtime.file_watch import FileWatch
from nodes.runtime.flags import add_node_flags, parse_duration, run_node, run_or_die, tls_files
from nodes.runtime.lifeline import end_with_parent
from nodes.runtime.live_tls import LiveTls
from nodes.runtime.node_service import NodeService
from nodes.runtime.revocations import demanded_name
from nodes.runtime.server import NodeServer
from nodes.runtime.tls import Tls, dial, load_tls
from nodes.runtime.token_keys import TokenKeyUnusable, find_retired, load_token_keys

_GRACE_S = 2.5
_SETTLE_WITHIN_S = 2.0
_REVOKED_WITHIN_S = 0.4
"""How long a bank whose certificate was revoked has to show its successor, before its line is cut."""


def main() -> int:
    """Run the gateway until it is told to stop; return the exit code."""
    flags = _parse_flags()
    obey_at_files(flags.crash_points)
    reach("gateway.start.untied")
    end_with_parent(flags.lifeline_fd)
    return run_node(lambda told: _serve(flags, told), UsersUnusable, TokenKeyUnusable)


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nodes.gateway",
        description="The gateway: takes payments from clients and coordinates them between banks.",
        epilog="Banks register by themselves; SIGTERM stops the gateway after what is under way has ended.",
    )
    parser.add_argument("--users", type=Path, required=True, help="JSON file of the users who may log in")
    parser.add_argument("--token-key", type=Path, required=True, help="private key (PEM, P-256) that signs tokens")
    parser.add_argument("--transactions", type=Path, required=True, help="file for one JSON line a payment")
    parser.add_argument(
        "--payment-timeout", type=parse_duration, default=2.0, help="how long banks may take to vote (2s)"
    )
    add_node_flags(parser)
    return parser.parse_args()


async def _serve(flags: argparse.Namespace, told: asyncio.Event) -> None:
    tls = load_tls(tls_files(flags), kind=PeerKind.GATEWAY)
    users = load_users(flags.users)
    keys = load_token_keys(flags.token_key)
    issuer = TokenIssuer(keys.signs, tls.identity.cluster, retired=keys.retired)
    log = open_event_log(flags.log, "gateway")
    store = GatewayStore.open(flags.database)
    reach("gateway.start.epoch-unraised")
    epoch = store.begin_epoch()
    reach("gateway.start.epoch-durable")
    transactions = TransactionsFile(flags.transactions, store)
    audit = PaymentAudit(flags.audit)
    reach("gateway.start.file-caught-up")
    coordinator = Coordinator(
        epoch=epoch, last_sequence=store.last_sequence(), timeout_ms=int(flags.payment_timeout * 1000)
    )
    loop = GatewayLoop(
        coordinator, store, record=transactions.append, report=lambda found: log_contradiction(log, found)
    )
    live = LiveTls(tls, log)
    banks = Banks(loop, live, log, issuer)
    logins = Logins(users, issuer, store)
    server = NodeServer(flags.listen, tls, log, authenticate=logins.authenticate, denied=audit.deny)
    live.on_change(server.renew)
    live.on_change(banks.renew)
    payments = PaymentService(logins, loop, store, audit)
    server.add("interbank.v1.PaymentService", payment_pb2_grpc.add_PaymentServiceServicer_to_server, payments)
    registry = RegistryService(loop, store, audit, banks.reach)
    server.add("interbank.v1.RegistryService", registry_pb2_grpc.add_RegistryServiceServicer_to_server, registry)
    _offer_to_operators(server, loop, store, audit)
    money = MoneyCheck(loop.cuts, log)
    watch = _watch_files(flags, live, logins, issuer, log)
    status = Status(loop, store, money, issuer)
    node = NodeService(
        name="gateway", role="gateway", instance=flags.instance, describe=status.describe, live=live, watch=watch
    )
    server.add("interbank.v1.NodeService", operator_pb2_grpc.add_NodeServiceServicer_to_server, node)
    log.info("started", epoch=epoch, decisions=coordinator.last_sequence)
    tasks = [asyncio.create_task(run_or_die(part.run())) for part in (loop, watch, money, FailedHandshakes(log))]
    for name, address in store.banks().items():
        banks.reach(name, address)
    await server.start()
    reach("gateway.start.listening")
    await banks.settle()
    reach("gateway.start.banks-met")
    status.is_ready = True
    await server.set_ready(True)
    await told.wait()
    reach("gateway.stop.told")
    log.info("stopping", under_way=len(coordinator.open))
    await _stop(server, banks, tasks)
    logins.close()
    transactions.close()
    audit.close()
    store.close()
    reach("gateway.stop.books-closed")
    log.info("stopped")


def _offer_to_operators(server: NodeServer, loop: GatewayLoop, store: GatewayStore, audit: PaymentAudit) -> None:
    operator = OperatorService(loop, store, audit)
    server.add("interbank.v1.OperatorService", operator_pb2_grpc.add_OperatorServiceServicer_to_server, operator)
    auditing = AuditService(store.chain, operator.standing, operator.read_records)
    server.add("interbank.v1.AuditService", audit_pb2_grpc.add_AuditServiceServicer_to_server, auditing)


def _watch_files(
    flags: argparse.Namespace, live: LiveTls, logins: Logins, issuer: TokenIssuer, log: FilteringBoundLogger
) -> FileWatch:
    """Have certificates, users and token keys taken when they change; what cannot be used changes nothing."""
    watch = FileWatch(lambda fault: log.warning("file_unusable", fault=fault))
    live.watch(watch)

    def reread_users() -> None:
        logins.use_users(load_users(flags.users))
        log.info("users_taken", file=str(flags.users))

    def reread_token_keys() -> None:
        issuer.use_keys(load_token_keys(flags.token_key))
        log.info("token_key_taken", key_id=issuer.key_id)

    watch.add(reread_users, UsersUnusable, flags.users)
    watch.add(reread_token_keys, TokenKeyUnusable, flags.token_key, find_retired(flags.token_key))
    return watch


async def _stop(server: NodeServer, banks: "Banks", tasks: list["asyncio.Task[None]"]) -> None:
    """End in this order what callers, banks and the loop are told by."""
    await server.stop(_GRACE_S)
    reach("gateway.stop.calls-ended")
    await banks.leave()
    reach("gateway.stop.lines-closed")
    for task in tasks:
        task.cancel()


class Banks:
    """The lines to all banks, each kept open by a task of its own."""

    def __init__(self, loop: GatewayLoop, live: LiveTls, log: FilteringBoundLogger, issuer: TokenIssuer) -> None:
        self._issuer = issuer
        self._loop = loop
        self._live = live
        self._used = live.current
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def reach(self, name: str, address: str) -> None:
        """Reach a bank at ``address`` from now on, whether it is known already or not."""
        link = self._loop.links.get(name)
        if link is None:
            events, token_keys = self._loop.bank_events(), self._issuer.public_keys
            link = BankLink(name, self._open_channel, events, self._log, token_keys=token_keys)
            self._loop.add_bank(link)
            # In a context of its own: this call's request id is not the line's.
            self._tasks.append(asyncio.create_task(run_or_die(link.run()), context=Context()))
        link.dial(address)

    def renew(self, tls: Tls) -> None:
        """Go over to lines that are made with the certificate of now; those to a revoked one are not kept."""
        before, self._used = self._used, tls
        for link in self._loop.links.values():
            bank = Identity(tls.identity.cluster, PeerKind.BANK, link.name)
            if demanded_name(bank, tls.revoked) != demanded_name(bank, before.revoked):
                link.renew(within_s=_REVOKED_WITHIN_S)
            else:
                link.renew()

    async def settle(self) -> None:
        """Return once each bank that is known from before has been reached, or cannot be now."""
        known = [link.is_tried.wait() for link in self._loop.links.values()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*known), _SETTLE_WITHIN_S)

    async def leave(self) -> None:
        """Close all lines."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open_channel(self, name: str, address: str) -> grpc.aio.Channel:
        tls = self._live.current
        bank = Identity(tls.identity.cluster, PeerKind.BANK, name)
        return dial(address, tls, bank, interceptors=[ClientCalls(self._log, bank)])


class Status:
    """Says how the gateway is."""

    def __init__(self, loop: GatewayLoop, store: GatewayStore, money: MoneyCheck, issuer: TokenIssuer) -> None:
        self.is_ready = False
        self._money = money
        self._issuer = issuer
        self._loop = loop
        self._store = store

    def describe(self, status: operator_pb2.GetStatusResponse) -> None:
        """Fill in readiness and counters."""
        status.is_ready = self.is_ready
        status.not_ready_reason = "" if self.is_ready else "reaching the banks"
        status.commits = self._store.commits
        status.certificate.token_key = self._issuer.key_id
        links = self._loop.links.values()
        status.certificate.has_older_lines = not all(link.is_renewed for link in links)
        gateway = status.gateway
        gateway.epoch = self._loop.coordinator.epoch
        gateway.committed, gateway.declined = self._store.tally()
        gateway.under_way = len(self._loop.coordinator.open)
        verdict = self._money.verdict
        if verdict is not None:
            gateway.money, gateway.money_failed = verdict.said, verdict.has_failed
            gateway.money_age_ms = int((time.monotonic() - verdict.at_s) * 1000)
        for link in links:
            gateway.banks.add(name=link.name, address=link.address, is_connected=link.is_connected)
        differences = {link.difference for link in links if link.difference}
        status.warnings.extend(sorted(differences))


if __name__ == "__main__":
    sys.exit(main())
