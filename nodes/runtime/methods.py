"""The methods of a server's services: gathered before it starts, so that each can be wrapped once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc


class _Named:
    """What gRPC tells of a call before its handler is known."""

    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method


class Registered:
    """Stands in for a server, and takes the services that are added to it."""

    def __init__(self) -> None:
        self.services: list[str] = []
        self._handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.ServiceRpcHandler]) -> None:
        """Take a service."""
        for handler in handlers:
            self.services.append(handler.service_name() or "")
            self._handlers.append(handler)

    def add_registered_method_handlers(self, service: str, _: object) -> None:
        """Take note that there is ``service``: its methods come the other way as well."""
        self.services.append(service)

    def find(self, method: str) -> Any:
        """Return the handler of ``/package.Service/Method``; raises LookupError."""
        for handler in self._handlers:
            found = handler.service(_Named(method))
            if found is not None:
                return found
        raise LookupError(f"no service that was added has {method}")


class Methods(grpc.GenericRpcHandler):
    """Answers a server which handler is whose; what is not among them is UNIMPLEMENTED.

    While ``is_alarming``, which is asked once for each call, the ``early`` ones are taken, and ``unknown``
    for what is not among them.
    """

    def __init__(
        self, handlers: Mapping[str, Any], early: Mapping[str, Any], unknown: Any, is_alarming: Callable[[], bool]
    ) -> None:
        self._handlers = handlers
        self._early = early
        self._unknown = unknown
        self._is_alarming = is_alarming

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, or None."""
        if self._is_alarming():
            return self._early.get(handler_call_details.method, self._unknown)
        return self._handlers.get(handler_call_details.method)
