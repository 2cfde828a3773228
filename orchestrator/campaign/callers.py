"""Clients that pay and look while everything breaks, each in a thread, each writing down what it is told.

    =======  =====================================================================
    bank     customers who pay each other at random, between all banks (Jepsen's bank test)
    hot      callers who spend from one account of little money, all at once
    storm    callers who send the same payment ids, and now and then another body under one
    own      customers whom nobody pays: what they read must follow from what they were told
    =======  =====================================================================

Every caller sends a payment again, under the same id, until it knows the outcome.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from typing import NamedTuple, Protocol

from nodes.client import Client, ClientError, NotLoggedIn, PaymentRequest, PaymentResult, new_payment_id
from nodes.client.errors import IdUsed
from orchestrator.campaign.history import (
    COMMITTED,
    DECLINED,
    OUTCOMES,
    REFUSED,
    UNKNOWN,
    Attempt,
    Look,
    Request,
)

BANK_CALLERS, HOT_CALLERS, STORM_CALLERS, OWN_CALLERS = 4, 3, 4, 2
HOT = "hot"
STORM = "storm"
OPENING_MINOR = 1_000_000
HOT_OPENING_MINOR = 10_000
"""So little that payments from it often fail on funds: what several callers could spend twice."""
_PAUSE_S = 0.05
_MUTATED = 0.01
_OPEN_MAX = 100
"""So many payments of one caller may wait for a bank that is away, while others go on."""
_SEND_AGAIN_S = 0.02
_PAUSE_AFTER_UNKNOWN_S = 0.01
_SETTLE_WITHIN_S = 45.0
_CURRENCY = "INR"


class Write(Protocol):
    """Takes what a caller did."""

    def write(self, line: Attempt | Look) -> None:
        """Keep one line."""


class Surroundings(NamedTuple):
    """What every caller needs: the way to the gateway, the banks, the clock, when to stop."""

    connect: Callable[[], Client]
    password: str
    banks: Sequence[str]
    now_s: Callable[[], float]
    is_over: threading.Event
    recorder: Write


def users() -> list[str]:
    """Return all users that the callers log in as."""
    own = [f"own-{number}" for number in range(OWN_CALLERS)]
    return [*(f"bank-{number}" for number in range(BANK_CALLERS)), HOT, STORM, *own]


def opening_minor(user: str) -> int:
    """Return what each of a user's accounts is opened with."""
    return HOT_OPENING_MINOR if user == HOT else OPENING_MINOR


def make_callers(seed: int, around: Surroundings, user: str = "") -> list["Caller"]:
    """Return the callers of a campaign, each with dice of its own.

    With ``user`` it is those that pay between accounts of one user, whatever is in them and whoever else pays.
    """
    storm = Storm(Random(f"{seed}/storm"), around.banks, user or STORM)
    makers: list[tuple[str, str, Callable[..., Caller]]] = [
        *((f"bank-{n}", f"bank-{n}", BankCaller) for n in range(BANK_CALLERS)),
        *((f"hot-{n}", HOT, HotCaller) for n in range(HOT_CALLERS)),
        *((f"storm-{n}", STORM, partial(StormCaller, storm)) for n in range(STORM_CALLERS)),
        *((f"own-{n}", f"own-{n}", OwnCaller) for n in range(OWN_CALLERS)),
    ]
    if user:
        makers = [(name, user, make) for name, each, make in makers if each in (HOT, STORM)]
    return [make(name, user, Random(f"{seed}/{name}"), around) for name, user, make in makers]


class Caller:
    """One client: logs in, does turn after turn until it is over; `settle` pays until the outcome is known."""

    def __init__(self, name: str, user: str, dice: Random, around: Surroundings) -> None:
        self.name, self.user = name, user
        self.dice = dice
        self.around = around
        self._client: Client | None = None
        self._open: deque[Request] = deque()
        self._again_s = 0.0

    def run(self) -> None:
        """Go on until it is over."""
        while not self.around.is_over.is_set():
            self.turn()
        for request in self._open:
            self.settle(request)
        if self._client is not None:
            self._client.close()

    def turn(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def pay_or_leave_open(self, make_request: Callable[[], Request]) -> None:
        """Send what is open again, then another payment; what has no answer stays open, and others go on.

        So a bank that is away keeps nobody from paying elsewhere.
        """
        request = self._open.popleft() if self._is_time_to_send_again() else None
        if request is None and len(self._open) == _OPEN_MAX:
            time.sleep(_PAUSE_S)
            return
        request = request or make_request()
        attempt = self._try(request, is_mutated=False)
        self.around.recorder.write(attempt)
        if attempt.outcome == UNKNOWN:
            self._open.append(request)
            time.sleep(_PAUSE_AFTER_UNKNOWN_S)

    def _is_time_to_send_again(self) -> bool:
        now_s = time.monotonic()
        if not self._open or now_s < self._again_s:
            return False
        self._again_s = now_s + _SEND_AGAIN_S
        return True

    def settle(self, request: Request, *, is_mutated: bool = False) -> str:
        """Send a payment until its outcome is known; return it, or give up long after all was healed."""
        gives_up_s = inf
        while True:
            attempt = self._try(request, is_mutated)
            self.around.recorder.write(attempt)
            if attempt.outcome != UNKNOWN or time.monotonic() > gives_up_s:
                return attempt.outcome
            if self.around.is_over.is_set():
                gives_up_s = min(gives_up_s, time.monotonic() + _SETTLE_WITHIN_S)
            time.sleep(_PAUSE_S)

    def ask(self, question: Callable[[Client], int]) -> int | None:
        """Return what the gateway answers; None if it does not."""
        try:
            return question(self._log_in())
        except ClientError as error:
            self._forget_login(error)
            return None

    def look(self, what: str, found: int, at_least: int, at_most: int) -> None:
        """Write down what was read, and what it must be."""
        self.around.recorder.write(Look(self.name, what, self.around.now_s(), found, at_least, at_most))

    def draw_account(self, user: str) -> str:
        """Return one of a user's accounts."""
        return f"{user}@{self.dice.choice(self.around.banks)}"

    def _try(self, request: Request, is_mutated: bool) -> Attempt:
        sent_s = self.around.now_s()
        outcome, detail = UNKNOWN, ""
        try:
            result = self._log_in().pay(
                PaymentRequest(request.payment_id, request.payer, request.payee, request.amount_minor, _CURRENCY)
            )
            outcome, detail = _read_result(result)
        except IdUsed as error:
            outcome, detail = REFUSED, str(error)
        except ClientError as error:
            detail = f"{type(error).__name__}: {error}"
            self._forget_login(error)
        return Attempt(self.name, request, sent_s, self.around.now_s(), outcome, detail, is_mutated)

    def _log_in(self) -> Client:
        if self._client is None:
            client = self.around.connect()
            try:
                client.log_in(self.user, self.around.password)
            except BaseException:
                client.close()
                raise
            self._client = client
        return self._client

    def _forget_login(self, error: ClientError) -> None:
        if isinstance(error, NotLoggedIn) and self._client is not None:
            self._client.close()
            self._client = None


def _read_result(result: PaymentResult) -> tuple[str, str]:
    outcome = result.outcome if result.outcome in OUTCOMES else UNKNOWN
    return outcome, result.reason


class BankCaller(Caller):
    """Pays another customer at random."""

    def turn(self) -> None:
        """Pay once."""
        self.pay_or_leave_open(self._draw_request)

    def _draw_request(self) -> Request:
        payee = self.draw_account(f"bank-{self.dice.randrange(BANK_CALLERS)}")
        payer = self.dice.choice(
            [f"{self.user}@{bank}" for bank in self.around.banks if f"{self.user}@{bank}" != payee]
        )
        return Request(self.user, new_payment_id(), payer, payee, self.dice.randint(1, 500))


class HotCaller(Caller):
    """Spends from the one hot account faster than it fills."""

    def turn(self) -> None:
        """Spend, or move money back into the hot account from another of the same user."""
        self.pay_or_leave_open(self._draw_request)

    def _draw_request(self) -> Request:
        hot, *others = (f"{self.user}@{bank}" for bank in self.around.banks)
        other = self.dice.choice(others)
        payer, payee = (hot, other) if self.dice.random() < 0.6 else (other, hot)
        return Request(self.user, new_payment_id(), payer, payee, self.dice.randint(500, 2500))


class Storm:
    """The payments that all callers of the storm send: the same ones, each in its own time."""

    def __init__(self, dice: Random, banks: Sequence[str], user: str) -> None:
        self._dice = dice
        self._banks = banks
        self._user = user
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def request(self, number: int) -> Request:
        """Return one of them, made when it is first asked for."""
        user = self._user
        with self._lock:
            while len(self._requests) <= number:
                payer, payee = self._dice.sample(self._banks, 2)
                amount_minor = self._dice.randint(1, 99)
                self._requests.append(
                    Request(user, new_payment_id(), f"{user}@{payer}", f"{user}@{payee}", amount_minor)
                )
            return self._requests[number]


class StormCaller(Caller):
    """Sends every payment of the storm."""

    def __init__(self, storm: Storm, name: str, user: str, dice: Random, around: Surroundings) -> None:
        super().__init__(name, user, dice, around)
        self._storm = storm
        self._number = 0

    def turn(self) -> None:
        """Send the next one; once its outcome is known, another body under its id must be refused."""
        request = self._storm.request(self._number)
        self._number += 1
        # The first one always, so that no campaign is too short to have tried.
        is_to_be_mutated = self._number == 1 or self.dice.random() < _MUTATED
        if self.settle(request) in OUTCOMES and is_to_be_mutated:
            self.settle(replace(request, amount_minor=request.amount_minor + 1), is_mutated=True)


class OwnCaller(Caller):
    """Pays from an account that nobody else touches, and reads it: its own writes must show."""

    def __init__(self, name: str, user: str, dice: Random, around: Surroundings) -> None:
        super().__init__(name, user, dice, around)
        self._account = f"{user}@{around.banks[0]}"
        self._spent_minor = self._declined_minor = 0

    def turn(self) -> None:
        """Pay, then look at the payment and at the account."""
        payee = f"bank-0@{self.dice.choice(self.around.banks)}"
        request = Request(self.user, new_payment_id(), self._account, payee, self.dice.randint(1, 99))
        outcome = self.settle(request)
        if outcome not in OUTCOMES:
            # Never known: whether it was paid cannot be told here, so nothing can be demanded any more.
            self._declined_minor += request.amount_minor
            return
        self._spent_minor += request.amount_minor if outcome == COMMITTED else 0
        self._declined_minor += request.amount_minor if outcome == DECLINED else 0
        self._look_at_payment(request, outcome)
        self._look_at_account()

    def _look_at_payment(self, request: Request, outcome: str) -> None:
        found = self.ask(lambda client: int(client.payment(request.payment_id).outcome == outcome))
        if found is not None:
            self.look(f"payment {request.payment_id} was {outcome} and is still", found, 1, 1)

    def _look_at_account(self) -> None:
        bank = self._account.partition("@")[2]
        found = self.ask(lambda client: sum(b.available_minor for b in client.balances(bank).balances) or -1)
        if found is not None and found >= 0:
            # What was declined may be held for a moment; what was committed is gone, at once.
            at_most = opening_minor(self.user) - self._spent_minor
            self.look(f"available in {self._account}", found, at_most - self._declined_minor, at_most)
