"""Customers who pay in a running cluster with the client library, and whose every failure is kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

from nodes.client import ClientError, NotLoggedIn, PaymentRequest, new_payment_id
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.shell.connection import connect
from tests.running_nodes import wait_until

_ROUTES = (
    ("alice", "alice@ICICI", "bob@HDFC"),
    ("bob", "bob@HDFC", "charlie@SBI"),
    ("charlie", "charlie@SBI", "alice@ICICI"),
)
_PER_CLIENT = 20


class Load:
    """Each customer takes a new client, with the certificate of then, every few payments; one keeps its own."""

    def __init__(self, folder) -> None:
        self.folder = ClusterFolder(folder)
        self.config = load(self.folder.config)
        self.paid = 0
        self.failures: list[str] = []
        self._ends = threading.Event()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(len(_ROUTES) + 1)
        self._running = [self._pool.submit(self._keep, self._pay_with_new_clients, *route) for route in _ROUTES]
        self._running.append(self._pool.submit(self._keep, self._pay_with_one_client, *_ROUTES[0]))
        self.pay_more(40)
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._pool.shutdown()
        for running in self._running:
            running.result()

    def pay_more(self, count: int) -> None:
        """Wait for so many payments more."""
        goal = self.paid + count
        wait_until(lambda: self.paid >= goal or bool(self.failures), "payments")

    def _keep(self, pay, *route) -> None:
        try:
            while not self._ends.is_set() and not self.failures:
                pay(*route)
        except (ClientError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__}: {error} ({error.__cause__})")

    def _pay_with_new_clients(self, user, payer, payee) -> None:
        with connect(self.config, self.folder) as client:
            client.log_in(user, f"{user}123")
            for _ in range(_PER_CLIENT):
                self._pay(client, payer, payee)

    def _pay_with_one_client(self, user, payer, payee) -> None:
        with connect(self.config, self.folder) as client:
            client.log_in(user, f"{user}123")
            while not self._ends.is_set():
                try:
                    self._pay(client, payer, payee)
                except NotLoggedIn:
                    # It had to go over to another certificate, which the login does not hold for.
                    client.log_in(user, f"{user}123")

    def _pay(self, client, payer, payee) -> None:
        result = client.pay(PaymentRequest(new_payment_id(), payer, payee, 1, "INR"))
        assert result.outcome == "committed", result
        self.paid += 1
