"""The demonstration: a bank dies between its vote and the decision, and the payment ends all the same.

Done with what everybody has: the payee's bank is frozen, so that the decision has to
wait; the payer's bank votes yes, which is seen in its books, and is killed with -9;
then the payee's bank thaws and votes. Every step is looked at, none is assumed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from nodes.client import Client, ClientError, PaymentRequest, PaymentResult, new_payment_id
from orchestrator.console.amounts import show_amount
from orchestrator.inspection.operator_line import call_bank, call_gateway
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.shell.connection import connect
from orchestrator.supervision.control import ask

_USER = "alice"
_PAYER_BANK, _PAYEE_BANK = "ICICI", "HDFC"
_PAYEE = f"bob@{_PAYEE_BANK}"
_AMOUNT_MINOR = 10_000
_DEADLINE_S = 15.0
_PICTURE = """
  alice ──pay──> gateway ──prepare──> ICICI   yes ✗ killed ······ back: asks, posts
                    │                                    │
                    ├─────prepare──> HDFC    (frozen) ·· yes
                    │                                    │
                    └───────────────────────── decision: {outcome} ──> alice
"""


class DemonstrationFailed(Exception):
    """Something was not as it must be; the message says what."""


class Demonstration:
    """One run. ``say`` is given each line as it happens."""

    def __init__(
        self, config: ClusterConfig, folder: ClusterFolder, password: str, say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._folder = folder
        self._password = password
        self._say = say
        self._began = time.monotonic()

    def run(self) -> None:
        """Go through all of it; raises `DemonstrationFailed`."""
        missing = {_PAYER_BANK, _PAYEE_BANK} - set(self._config.banks)
        if missing:
            raise DemonstrationFailed(f"this needs the banks {_PAYER_BANK} and {_PAYEE_BANK} in cluster.yaml")
        with connect(self._config, self._folder) as client:
            try:
                client.log_in(_USER, self._password)
                self._run_as(client)
            except ClientError as error:
                raise DemonstrationFailed(
                    f"{error} (a password of your own goes into CLUSTER_PASSWORD)"
                ) from error
            finally:
                self._order("resume", _PAYEE_BANK)

    def _run_as(self, client: Client) -> None:
        before = client.balances(_PAYER_BANK).balances[0]
        currency = self._config.currency
        amount = show_amount(_AMOUNT_MINOR, currency)
        self._step(f"{_USER} has {show_amount(before.available_minor, currency)} at {_PAYER_BANK}")
        self._order("pause", _PAYEE_BANK, hold=True)
        self._step(f"{_PAYEE_BANK} is frozen: its vote has to wait")
        payment = _Payment(client, f"{_USER}@{_PAYER_BANK}", currency)
        self._step(f"{_USER} pays {_PAYEE} {amount} from {_PAYER_BANK}: {payment.request.payment_id}")
        with call_bank(self._config, self._folder, _PAYER_BANK) as bank:
            self._wait(lambda: bank.is_prepared(payment.request.payment_id), f"{_PAYER_BANK} voted yes")
        self._order("kill", _PAYER_BANK)
        self._step(f"{_PAYER_BANK} is killed with -9: it has promised the money and does not know the decision")
        self._order("resume", _PAYEE_BANK)
        self._step(f"{_PAYEE_BANK} thaws, and votes")
        result = payment.wait()
        self._step(f"the gateway has decided: {result.outcome} {result.reason}".rstrip())
        self._wait(
            lambda: self._is_posted(client, before.posted_minor, result), f"{_PAYER_BANK} is back and has heard"
        )
        self._check_money()
        self._say(_PICTURE.format(outcome=result.outcome.upper()))

    def _is_posted(self, client: Client, before_minor: int, result: PaymentResult) -> bool:
        """Tell whether the payer's bank is back with exactly what the decision says."""
        wanted = before_minor - (_AMOUNT_MINOR if result.outcome == "committed" else 0)
        try:
            balance = client.balances(_PAYER_BANK).balances[0]
        except ClientError:
            return False
        return balance.posted_minor == wanted and balance.held_minor == 0

    def _check_money(self) -> None:
        with call_gateway(self._config, self._folder) as gateway:
            self._wait(lambda: not gateway.collect_totals().unavailable_banks, "every bank answers")
            totals = gateway.collect_totals()
        faults = [f"{bank.bank}: {fault}" for bank in totals.banks for fault in bank.faults]
        owned = sum(sums.customers_minor for bank in totals.banks for sums in bank.totals)
        paid_in = sum(sums.paid_in_minor for bank in totals.banks for sums in bank.totals)
        if faults or owned != paid_in or totals.unavailable_banks:
            raise DemonstrationFailed(f"the books do not add up: {owned} of {paid_in}; {'; '.join(faults)}")
        currency = self._config.currency
        self._step(f"all books add up: customers own {show_amount(owned, currency)}, what was once paid in")

    def _order(self, what: str, node: str, **more: Any) -> None:
        ask(self._folder.control_socket, {"do": what, "node": node, **more})

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        gives_up = time.monotonic() + _DEADLINE_S
        while not is_so():
            if time.monotonic() > gives_up:
                raise DemonstrationFailed(f"{what}: not within {_DEADLINE_S:g} s")
            time.sleep(0.01)
        self._step(what)

    def _step(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.2f} s  {what}")


class _Payment:
    """A payment under way in a thread, since its caller waits for the outcome."""

    def __init__(self, client: Client, payer_account: str, currency: str) -> None:
        self.request = PaymentRequest(new_payment_id(), payer_account, _PAYEE, _AMOUNT_MINOR, currency, "demo")
        self._client = client
        self._results: list[PaymentResult | ClientError] = []
        self._thread = threading.Thread(target=self._pay, daemon=True)
        self._thread.start()

    def wait(self) -> PaymentResult:
        """Wait for the outcome; raises the `ClientError` that came instead."""
        self._thread.join(_DEADLINE_S)
        if not self._results:
            raise DemonstrationFailed("the gateway has not answered")
        if isinstance(self._results[0], ClientError):
            raise self._results[0]
        return self._results[0]

    def _pay(self) -> None:
        try:
            self._results.append(self._client.pay(self.request))
        except ClientError as error:
            self._results.append(error)
