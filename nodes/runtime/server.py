"""A node's gRPC server: mutual TLS, access rules, request log, health; refuses to start half."""

from collections.abc import Callable
from typing import Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from structlog.typing import FilteringBoundLogger

from nodes.runtime.access import AccessRuleMissing, Authenticate, Gatekeeper, collect_rules
from nodes.runtime.decoding import STREAM_BYTES_MAX
from nodes.runtime.descriptors import count_connection_places
from nodes.runtime.methods import Methods, Registered
from nodes.runtime.ports import PortUnusable, demand_free_port
from nodes.runtime.served_certificate import ServedCertificate
from nodes.runtime.server_calls import Denial, ServerCalls
from nodes.runtime.tls import CONNECTION_OPTIONS, Tls

_OPTIONS: list[tuple[str, Any]] = [
    *(option for option in CONNECTION_OPTIONS if option[0] != "grpc.max_receive_message_length"),
    ("grpc.max_receive_message_length", STREAM_BYTES_MAX),
    # Without this a second server would share the port, and each get half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_metadata_size", 16 * 1024),
    # Of one connection; beyond them its client waits. A call that was taken back counts until it has been dealt
    # with, and so does one that was answered: with far less a busy client would be refused what it has room for.
    ("grpc.max_concurrent_streams", 1024),
    # Calls that have come and wait to be taken up, of all connections: from the first number on gRPC drops some,
    # whosever they are, and their clients see them CANCELLED. Its own 1,000 are fewer than one connection brings.
    ("grpc.server.max_pending_requests", 4096),
    ("grpc.server.max_pending_requests_hard_limit", 8192),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Without a call for so long, a client must connect anew when it has one.
    ("grpc.max_connection_idle_ms", 5 * 60_000),
    # Calls under way stay; what is begun later is on a new connection, with a certificate looked at anew.
    ("grpc.max_connection_age_ms", 30 * 60_000),
]


class NodeServer:
    """One node's server. `add` its services, then `start`. ``denied`` is told of calls that were denied."""

    def __init__(
        self,
        listen: str,
        tls: Tls,
        log: FilteringBoundLogger,
        *,
        authenticate: Authenticate | None = None,
        denied: Callable[[Denial], None] = lambda _: None,
    ) -> None:
        self.port = 0
        self.certificate = ServedCertificate(tls, log)
        self._listen = listen
        self._tls = tls
        self._log = log
        self._authenticate = authenticate
        self._denied = denied
        self._services: list[tuple[Callable[[Any, grpc.aio.Server], None], Any]] = []
        self._names: list[str] = []
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.add("grpc.health.v1.Health", health_pb2_grpc.add_HealthServicer_to_server, self._health)

    def add(self, name: str, add_to_server: Callable[[Any, grpc.aio.Server], None], servicer: Any) -> None:
        """Offer the service ``name`` (``package.Service``); before `start`."""
        self._names.append(name)
        self._services.append((add_to_server, servicer))

    async def start(self) -> None:
        """Listen; raises `PortUnusable`, or `nodes.runtime.access.AccessRuleMissing` before it does."""
        registered = self._register()
        rules = collect_rules(self._names)
        gatekeeper = Gatekeeper(self._tls.identity.cluster, rules, self._authenticate)
        gatekeeper.revoked = self._tls.revoked
        await demand_free_port(self._listen)
        places = ("grpc.max_allowed_incoming_connections", count_connection_places())
        calls = ServerCalls(gatekeeper, self._log, self._denied)
        server = grpc.aio.server(options=[*_OPTIONS, places])
        methods = {method: calls.wrap(method, registered.find(method)) for method in rules}
        early = {method: calls.wrap_early(method, wrapped) for method, wrapped in methods.items()}
        unknown = calls.wrap_early("unknown", None)
        server.add_generic_rpc_handlers([Methods(methods, early, unknown, calls.alarm.opened)])
        await self.set_ready(False)
        try:
            self.port = server.add_secure_port(self._listen, self.certificate.credentials())
        except RuntimeError as error:
            # Somebody was quicker: a moment ago it was free.
            raise PortUnusable(f"cannot listen on {self._listen}: another process listens there") from error
        calls.listen_on(self.port)
        await server.start()
        self._server, self._gatekeeper, self._calls = server, gatekeeper, calls
        self._log.info("listening", address=self._listen, port=self.port, serial=self.certificate.serial)

    def renew(self, tls: Tls) -> None:
        """Show ``tls`` from the next handshake on, and trust whom it trusts; whoever else is cut off now."""
        if self.certificate.is_other(tls):
            self.certificate.replace(tls)
        if self._server is not None:
            self._gatekeeper.revoked = tls.revoked
            self._gatekeeper.authorities_pem = tls.ca_pem
            self._calls.end_refused()

    def _register(self) -> Registered:
        """Gather the services; refuse one that is another than the one whose rules were named for it."""
        registered = Registered()
        for add_to_server, servicer in self._services:
            add_to_server(servicer, cast(grpc.aio.Server, registered))
        for service in registered.services:
            if service not in self._names:
                raise AccessRuleMissing(
                    f"{service} is registered, but no rules are read for it: add it by its name"
                )
        return registered

    async def set_ready(self, is_ready: bool) -> None:
        """Say SERVING or NOT_SERVING to whoever checks this node's health."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if is_ready else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, let calls under way end for up to ``grace_s``, then stop."""
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(grace_s)
            self._calls.close()
