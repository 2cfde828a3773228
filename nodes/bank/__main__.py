"""Start a bank: ``python -m nodes.bank --help`` tells all that it needs."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import grpc
from interbank.v1 import audit_pb2_grpc, bank_pb2_grpc, operator_pb2, operator_pb2_grpc
from structlog.typing import FilteringBoundLogger

from nodes.bank.accounts import AccountsUnusable, OpeningAccounts, load_accounts
from nodes.bank.bank_service import BankService
from nodes.bank.gateway_link import GatewayLink
from nodes.bank.grants import Grants
from nodes.bank.loop import BankLoop
from nodes.bank.store import BankStore
from nodes.core.names import BANK_NAME_RULE, Identity, PeerKind, is_bank_name
from nodes.runtime.audit_log import AuditLog
from nodes.runtime.audit_service import AuditService
from nodes.runtime.client_calls import ClientCalls
from nodes.runtime.crash_files import obey_at_files
from nodes.runtime.crash_points import reach
from nodes.runtime.event_log import log_contradiction, open_event_log
from nodes.runtime.failed_handshakes import FailedHandshakes
from nodes.runtime.file_watch import FileWatch
from nodes.runtime.flags import add_node_flags, parse_address, run_node, run_or_die, tls_files
from nodes.runtime.lifeline import end_with_parent
from nodes.runtime.live_tls import LiveTls
from nodes.runtime.node_service import NodeService
from nodes.runtime.server import NodeServer
from nodes.runtime.tls import dial, load_tls

_GRACE_S = 2.0


def main() -> int:
    """Run a bank until it is told to stop; return the exit code."""
    flags = _parse_flags()
    obey_at_files(flags.crash_points)
    reach("bank.start.untied")
    end_with_parent(flags.lifeline_fd)
    return run_node(lambda told: _serve(flags, told), AccountsUnusable)


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nodes.bank",
        description="A bank: keeps its customers' books, and takes part in payments that a gateway coordinates.",
        epilog="The bank registers at the gateway by itself and serves as long as it runs; SIGTERM stops it.",
    )
    parser.add_argument("--name", type=_parse_name, required=True, help=f"the bank's name: {BANK_NAME_RULE}")
    parser.add_argument(
        "--advertise", type=parse_address, help="host:port at which the gateway reaches this bank, if not --listen"
    )
    parser.add_argument("--gateway", type=parse_address, required=True, help="host:port of the gateway")
    parser.add_argument(
        "--accounts",
        type=Path,
        required=True,
        help='JSON file of accounts to open: {"currency": "INR", "accounts": {"alice": 500000}} in minor units;'
        " those that are there already keep their balance",
    )
    add_node_flags(parser)
    return parser.parse_args()


def _parse_name(text: str) -> str:
    if not is_bank_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a bank's name: {BANK_NAME_RULE}")
    return text


async def _serve(flags: argparse.Namespace, told: asyncio.Event) -> None:
    tls = load_tls(tls_files(flags), kind=PeerKind.BANK, name=flags.name)
    accounts = load_accounts(flags.accounts)
    log = open_event_log(flags.log, flags.name)
    store = BankStore.open(flags.database, flags.name)
    reach("bank.start.accounts-unopened")
    opened = store.open_accounts(accounts.opening_minor, accounts.currency, time.time_ns() // 1000)
    loop = BankLoop(flags.name, store, Grants(tls.identity.cluster), lambda found: log_contradiction(log, found))
    log.info("started", in_doubt=len(loop.ledger.holds), accounts_opened=opened)
    service = BankService(flags.name, loop, store)
    audit = AuditLog(flags.audit)
    server = NodeServer(flags.listen, tls, log, denied=audit.deny)
    live = LiveTls(tls, log)
    live.on_change(server.renew)
    watch = FileWatch(lambda fault: log.warning("file_unusable", fault=fault))
    live.watch(watch)
    gateway = Identity(tls.identity.cluster, PeerKind.GATEWAY)

    def dial_gateway() -> grpc.aio.Channel:
        return dial(flags.gateway, live.current, gateway, interceptors=[ClientCalls(log, gateway)])

    link = GatewayLink(dial_gateway, loop, service, log)
    live.on_change(lambda _: link.renew())
    service.ask_gateway = link.ask_now
    status = BankStatus(loop, service, link, store, accounts)

    def reread_accounts() -> None:
        accounts = load_accounts(flags.accounts)
        opened = store.open_accounts(accounts.opening_minor, accounts.currency, time.time_ns() // 1000)
        if opened:
            status.count_customers()
            log.info("accounts_opened", count=opened)

    watch.add(reread_accounts, AccountsUnusable, flags.accounts)
    server.add("interbank.v1.BankService", bank_pb2_grpc.add_BankServiceServicer_to_server, service)
    auditing = AuditService(store.chain, loop.standings.find, service.read_records)
    server.add("interbank.v1.AuditService", audit_pb2_grpc.add_AuditServiceServicer_to_server, auditing)
    node = NodeService(
        name=flags.name, role="bank", instance=flags.instance, describe=status.describe, live=live, watch=watch
    )
    server.add("interbank.v1.NodeService", operator_pb2_grpc.add_NodeServiceServicer_to_server, node)
    await server.start()
    reach("bank.start.listening")
    tasks = [
        asyncio.create_task(run_or_die(loop.run())),
        asyncio.create_task(run_or_die(link.run(flags.name, flags.advertise or flags.listen))),
        asyncio.create_task(run_or_die(watch.run())),
        asyncio.create_task(run_or_die(FailedHandshakes(log).run())),
        asyncio.create_task(_tell_health(server, service)),
    ]
    await told.wait()
    await _stop(server, tasks, log)
    audit.close()
    store.close()
    reach("bank.stop.books-closed")


async def _tell_health(server: NodeServer, service: BankService) -> None:
    """Say SERVING once the gateway has connected for the first time."""
    await service.connected.wait()
    await server.set_ready(True)


async def _stop(server: NodeServer, tasks: list["asyncio.Task[None]"], log: FilteringBoundLogger) -> None:
    reach("bank.stop.told")
    log.info("stopping")
    await server.stop(_GRACE_S)
    reach("bank.stop.calls-ended")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    log.info("stopped")


class BankStatus:
    """Says how a bank is."""

    def __init__(
        self, loop: BankLoop, service: BankService, link: GatewayLink, store: BankStore, accounts: OpeningAccounts
    ) -> None:
        self._loop = loop
        self._service = service
        self._link = link
        self._store = store
        self._currency = accounts.currency
        self.count_customers()

    def count_customers(self) -> None:
        """Count anew, after accounts were opened."""
        self._customers = self._store.count_customers()

    def describe(self, status: operator_pb2.GetStatusResponse) -> None:
        """Fill in readiness and counters."""
        is_connected = self._service.streams > 0
        status.is_ready = is_connected
        status.not_ready_reason = "" if is_connected else self._link.failure or "the gateway has not connected yet"
        status.commits = self._store.commits
        bank = status.bank
        oldest = next(iter(self._loop.ledger.holds.values()), None)
        bank.in_doubt = len(self._loop.ledger.holds)
        bank.oldest_in_doubt_ms = max(0, time.time_ns() // 1_000_000 - oldest.at_us // 1000) if oldest else 0
        bank.gateway_is_connected = is_connected
        bank.customers = self._customers
        bank.net_due_minor = self._store.net_due(self._currency)
        bank.currency = self._currency


if __name__ == "__main__":
    sys.exit(main())
