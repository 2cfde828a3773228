"""The demonstration: a bank dies between its vote and the decision, and the payment ends all the same.

Done with what everybody has: the payee's bank is frozen, so that the decision has to
wait; the payer's bank votes yes, which is seen in its books, and is killed with -9;
then the payee's bank thaws and votes. Every step is looked at, none is assumed.

The banks are the first two of cluster.yaml, in that order; who pays whom, the first
customers of users.json who can.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nodes.client import Client, ClientError, PaymentRequest, PaymentResult, new_payment_id
from nodes.core.settlement import Positions, find_imbalances, sum_paid_in
from nodes.core.users import Role
from nodes.runtime.chain_messages import read_clearing
from orchestrator.console.amounts import show_amount
from orchestrator.inspection.operator_line import call_bank, call_gateway
from orchestrator.layout.accounts import read_users
from orchestrator.layout.config import ClusterConfig
from orchestrator.layout.folder import ClusterFolder
from orchestrator.shell.connection import connect
from orchestrator.supervision.control import ask

_AMOUNT_MINOR = 10_000
_DEADLINE_S = 15.0


class DemonstrationFailed(Exception):
    """Something was not as it must be; the message says what."""


class CannotDemonstrate(Exception):
    """This cluster has not what it takes; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who pays whom, and between which banks."""

    payer: str
    payer_bank: str
    payee: str
    payee_bank: str

    @property
    def payer_account(self) -> str:
        """Where the money comes from."""
        return f"{self.payer}@{self.payer_bank}"

    @property
    def payee_account(self) -> str:
        """Where it goes."""
        return f"{self.payee}@{self.payee_bank}"


def find_cast(config: ClusterConfig) -> Cast:
    """Return who plays. Raises `CannotDemonstrate`, and `AccountsMistaken` if users.json cannot be read."""
    if len(config.banks) < 2:
        raise CannotDemonstrate(
            f"one bank pays another here, and cluster.yaml has only {', '.join(config.banks)}: add a bank"
        )
    payer_bank, payee_bank, *_ = config.banks
    customers = [user for user in read_users(config) if user.role is Role.CUSTOMER and not user.is_disabled]
    payers = [user.name for user in customers if user.accounts.get(payer_bank, 0) >= _AMOUNT_MINOR]
    if not payers:
        amount = show_amount(_AMOUNT_MINOR, config.currency)
        raise CannotDemonstrate(f"no customer in {config.users.name} has {amount} at {payer_bank} to pay with")
    payees = [user.name for user in customers if payee_bank in user.accounts]
    if not payees:
        raise CannotDemonstrate(f"no customer in {config.users.name} has an account at {payee_bank} to be paid at")
    payer = payers[0]
    return Cast(payer, payer_bank, next((name for name in payees if name != payer), payer), payee_bank)


class Demonstration:
    """One run. ``say`` is given each line as it happens."""

    def __init__(
        self, config: ClusterConfig, folder: ClusterFolder, cast: Cast, password: str, say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._folder = folder
        self._cast = cast
        self._password = password
        self._say = say
        self._began = time.monotonic()

    def run(self) -> None:
        """Go through all of it; raises `DemonstrationFailed`."""
        with connect(self._config, self._folder) as client:
            try:
                client.log_in(self._cast.payer, self._password)
                self._run_as(client)
            except ClientError as error:
                raise DemonstrationFailed(
                    f"{error} (a password of your own goes into CLUSTER_PASSWORD)"
                ) from error
            finally:
                self._order("resume", self._cast.payee_bank)

    def _run_as(self, client: Client) -> None:
        cast, currency = self._cast, self._config.currency
        before = client.balances(cast.payer_bank).balances[0]
        amount, has = show_amount(_AMOUNT_MINOR, currency), show_amount(before.available_minor, currency)
        self._step(f"{cast.payer} has {has} at {cast.payer_bank}")
        if before.available_minor < _AMOUNT_MINOR:
            raise DemonstrationFailed(f"{cast.payer} has {has} left at {cast.payer_bank}, and would pay {amount}")
        self._order("pause", cast.payee_bank, hold=True)
        self._step(f"{cast.payee_bank} is frozen: its vote has to wait")
        payment = _Payment(client, cast, currency)
        self._step(
            f"{cast.payer} pays {cast.payee_account} {amount} from {cast.payer_bank}: {payment.request.payment_id}"
        )
        with call_bank(self._config, self._folder, cast.payer_bank) as bank:
            self._wait(lambda: bank.is_prepared(payment.request.payment_id), f"{cast.payer_bank} voted yes")
        self._order("kill", cast.payer_bank)
        self._step(
            f"{cast.payer_bank} is killed with -9: it has promised the money and does not know the decision"
        )
        self._order("resume", cast.payee_bank)
        self._step(f"{cast.payee_bank} thaws, and votes")
        result = payment.wait()
        self._step(f"the gateway has decided: {result.outcome} {result.reason}".rstrip())
        self._wait(
            lambda: self._is_posted(client, before.posted_minor, result),
            f"{cast.payer_bank} is back and has heard",
        )
        self._check_money()
        self._say(draw(cast, result.outcome))

    def _is_posted(self, client: Client, before_minor: int, result: PaymentResult) -> bool:
        """Tell whether the payer's bank is back with exactly what the decision says."""
        wanted = before_minor - (_AMOUNT_MINOR if result.outcome == "committed" else 0)
        try:
            balance = client.balances(self._cast.payer_bank).balances[0]
        except ClientError:
            return False
        return balance.posted_minor == wanted and balance.held_minor == 0

    def _check_money(self) -> None:
        """See all books add up at one moment; what an answer to an inquiry overtook is looked at again."""
        positions: Positions = {}

        def agree() -> bool:
            nonlocal positions
            try:
                cut = gateway.take_cut()
            except ClientError:
                return False
            positions = {bank.bank: read_clearing(bank) for bank in cut.banks}
            return not find_imbalances(positions)

        with call_gateway(self._config, self._folder) as gateway:
            self._wait(agree, "every bank answers, and agrees with each other on what they owe")
        currency = self._config.currency
        owned = show_amount(sum_paid_in(positions)[currency], currency)
        self._step(f"all books add up: customers own {owned}, what was once paid in")

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

    def __init__(self, client: Client, cast: Cast, currency: str) -> None:
        self.request = PaymentRequest(
            new_payment_id(), cast.payer_account, cast.payee_account, _AMOUNT_MINOR, currency, "demo"
        )
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


def draw(cast: Cast, outcome: str) -> str:
    """Return the picture of what happened."""
    width = max(len(cast.payer_bank), len(cast.payee_bank))
    lead, between = " " * (len(cast.payer) + 15), width + 32
    return f"""
  {cast.payer} ──pay──> gateway ──prepare──> {cast.payer_bank:<{width}}  yes ✗ killed ······ back: asks, posts
{lead}│{" " * between}│
{lead}├──────prepare──> {cast.payee_bank:<{width}}  (frozen) ·· yes
{lead}│{" " * between}│
{lead}└{"─" * between}┴─ decision: {outcome.upper()} ──> {cast.payer}
"""
