"""Payments while things crash: customers who pay round and round, and remember all that they were told."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from nodes.client import Client, ClientError, NotLoggedIn, PaymentRequest, PaymentResult, new_payment_id
from nodes.client.errors import IdUsed, Malformed, NotAllowed, NotFound
from orchestrator.matrix.ground import BANKS, PAYERS, POOR, Ground

_AMOUNT_MINOR = 7
_PAUSE_S = 0.01
_SETTLES_WITHIN_S = 45.0
_NEVER = (IdUsed, Malformed, NotAllowed, NotFound)
"""What nobody may be told of a payment that is in order."""


class NotSettled(Exception):
    """A payment's caller was not told its outcome in time, or something that cannot be."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told; ``begun_s`` and ``ended_s`` in seconds since 1970."""

    user: str
    request: PaymentRequest
    result: PaymentResult
    begun_s: float
    ended_s: float


class Load:
    """All payers, paused until `resume`. ``told`` has all that any was told, oldest first."""

    def __init__(self, ground: Ground) -> None:
        self.told: list[Told] = []
        self._goes = threading.Event()
        self._ends = threading.Event()
        routes = [(user, f"{user}@{BANKS[n % 3]}", BANKS[(n + 1) % 3]) for n, user in enumerate(PAYERS)]
        routes.append((POOR, f"{POOR}@{BANKS[1]}", BANKS[0]))
        self._payers = [
            _Payer(ground, route, goes=self._goes, ends=self._ends, tell=self.told.append) for route in routes
        ]

    @property
    def clients(self) -> dict[str, Client]:
        """The clients of the payers, each logged in; for use while they pause."""
        return {payer.user: payer.client for payer in self._payers}

    def resume(self) -> None:
        """Have payments run."""
        self._goes.set()

    def pause(self) -> None:
        """Begin no more, and return when everybody knows what became of theirs; raises `NotSettled`."""
        self._goes.clear()
        for payer in self._payers:
            if not payer.is_idle.wait(_SETTLES_WITHIN_S):
                raise NotSettled(f"{payer.user} does not learn what became of {payer.payment_id}")
            if payer.failure:
                raise NotSettled(payer.failure)

    def wait_paid_since(self, at_s: float, within_s: float) -> float:
        """Return when every payer had been told the outcome of a payment that was begun after ``at_s``."""
        ends_s = time.monotonic() + within_s
        while True:
            since = [told for told in reversed(self.told[-2000:]) if told.begun_s >= at_s]
            first = {told.user: told.ended_s for told in since}
            if len(first) == len(self._payers):
                return max(first.values())
            if time.monotonic() > ends_s:
                missing = {payer.user for payer in self._payers} - set(first)
                raise NotSettled(f"payments of {', '.join(sorted(missing))} do not go on within {within_s:g} s")
            time.sleep(_PAUSE_S)

    def stop(self) -> None:
        """End all payers, wherever they are."""
        self._ends.set()
        self._goes.set()
        for payer in self._payers:
            payer.join(10.0)


class _Payer(threading.Thread):
    def __init__(
        self,
        ground: Ground,
        route: tuple[str, str, str],
        *,
        goes: threading.Event,
        ends: threading.Event,
        tell: Callable[[Told], None],
    ) -> None:
        super().__init__(daemon=True, name=f"payer-{route[0]}")
        self.user, self._from, self._to_bank = route
        self.client = ground.connect(self.user)
        self.payment_id = ""
        self.failure = ""
        self.is_idle = threading.Event()
        self.is_idle.set()
        self._password = ground.password
        self._goes, self._ends, self._tell = goes, ends, tell
        self.start()

    def run(self) -> None:
        number = 0
        while not self._ends.is_set() and not self.failure:
            self._goes.wait()
            self.is_idle.clear()
            if self._goes.is_set() and not self._ends.is_set():
                number += 1
                self._pay(PAYERS[number % len(PAYERS)])
            self.is_idle.set()
            self._ends.wait(_PAUSE_S)

    def _pay(self, payee: str) -> None:
        account = f"{payee}@{self._to_bank}"
        request = PaymentRequest(new_payment_id(), self._from, account, _AMOUNT_MINOR, "INR", "matrix")
        self.payment_id, begun_s = request.payment_id, time.time()
        while not self._ends.is_set():
            try:
                result = self.client.pay(request)
            except NotLoggedIn:
                with suppress(ClientError):
                    self.client.log_in(self.user, self._password)
            except _NEVER as error:
                self.failure = f"{self.user} is told of {request.payment_id}: {error}"
                return
            except ClientError:
                self._ends.wait(_PAUSE_S)
            else:
                self._tell(Told(self.user, request, result, begun_s, time.time()))
                return
