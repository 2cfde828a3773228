"""Customers who pay round and round while something is done to what they pay at, and whose failures are kept."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from nodes.client import ClientError
from tests.running_nodes import wait_until

ROUTES = (
    ("alice", "alice@ICICI", "bob@HDFC"),
    ("bob", "bob@HDFC", "charlie@SBI"),
    ("charlie", "charlie@SBI", "alice@ICICI"),
)
"""User, payer's account, payee's account; round and round, so that nobody runs out of money."""


class Load:
    """Each of the customers does round after round, in a thread, until the end or the first failure.

    A round pays as often as it likes and says each time that it ``has_paid``; one that may
    last looks at ``is_over``.
    """

    def __init__(self, *customers: Callable[["Load"], None], begins_with: int) -> None:
        self.paid = 0
        self.rounds = 0
        self.failures: list[str] = []
        self._customers = customers
        self._begins_with = begins_with
        self._ends = threading.Event()

    def __enter__(self):
        self._pool = ThreadPoolExecutor(len(self._customers))
        self._running = [self._pool.submit(self._keep_paying, each) for each in self._customers]
        self.pay_more(self._begins_with)
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._pool.shutdown()
        for running in self._running:
            running.result()

    @property
    def is_over(self) -> bool:
        """Whether no payment is to be begun any more."""
        return self._ends.is_set()

    def has_paid(self) -> None:
        """Count a payment."""
        self.paid += 1

    def pay_more(self, count: int) -> None:
        """Wait for so many payments more."""
        goal = self.paid + count
        wait_until(lambda: self.paid >= goal or bool(self.failures), "payments")

    def _keep_paying(self, round_: Callable[["Load"], None]) -> None:
        try:
            while not self.is_over and not self.failures:
                self.rounds += 1
                round_(self)
        except (ClientError, grpc.RpcError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__}: {error} ({error.__cause__})")
