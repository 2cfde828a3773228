"""Sends what waits in an outbox: in order, one at a time, each until its end is known.

What becomes of an item is decided in one place, `judge`. Between two tries tenacity
waits: exponentially longer, with full jitter, up to a cap. An item that was sent and
whose answer is unknown is sent again under the same id, which the gateway answers with
what it recorded: so it happens once, however often it is sent.
"""

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from threading import Event
from typing import NamedTuple

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from nodes.client.client import Client, PaymentRequest, PaymentResult, PaymentView
from nodes.client.errors import (
    Broken,
    ClientError,
    GatewayAway,
    IdUsed,
    Malformed,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
)
from nodes.client.outbox import Earlier, Item, Outbox, State
from nodes.runtime.crash_points import reach

_WAIT_FIRST_S = 0.2
_WAIT_MAX_S = 5.0
_LOCK_POLL_S = 0.05


class Verdict(NamedTuple):
    """What to do with an item: settle it in a state, for a reason; no state: try again."""

    state: State | None
    reason: str


class Undelivered(Exception):
    """Nothing more can be sent now: ``__cause__`` says why."""


class _TryAgain(Exception):
    """The item is as it was; wait and send it again."""


def judge(answer: PaymentResult | ClientError) -> Verdict:
    """Decide what an answer means for the item that was sent.

    Only what says for certain that the payment will never happen, or has ended, is final.
    """
    match answer:
        case PaymentResult(outcome="committed"):
            return Verdict(State.COMMITTED, "")
        case PaymentResult(outcome="declined", reason=reason):
            return Verdict(State.DECLINED, reason)
        case Malformed() | NotAllowed() | NotFound() | IdUsed():
            return Verdict(State.REFUSED, str(answer))
        case PaymentResult() | GatewayAway() | OutcomeUnknown() | Broken():
            return Verdict(None, str(answer))
        case _:
            raise Undelivered(str(answer)) from (answer if isinstance(answer, Exception) else None)


class Delivery:
    """Delivers one user's items through a client that is logged in as that user.

    ``report`` is told of each item as its state changes, and of each try that failed.
    """

    def __init__(
        self, outbox: Outbox, client: Client, user: str, report: Callable[[Item, str], None] = lambda *_: None
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._user = user
        self._report = report

    def deliver_all(self, *, until: Event, patience_s: float | None = None) -> list[Item]:
        """Send all that waits, in order; return what came of each.

        Stops early when ``until`` is set, or after ``patience_s`` of trying one item
        in vain: what waits, waits on. Raises `Undelivered` when no try can help.
        """
        ended: list[Item] = []
        with self._alone(until, patience_s) as is_alone:
            for item in self._outbox.waiting(self._user) if is_alone else ():
                settled = self._deliver(item, until, patience_s)
                if settled is None:
                    break
                ended.append(settled)
        return ended

    def _deliver(self, item: Item, until: Event, patience_s: float | None) -> Item | None:
        """Send one item until its end is known; None if that took too long."""
        if self._outbox.is_expired(item):
            reach("client.delivery.expired")
            return self._settle(item, State.EXPIRED, "waited for more than a day without having been sent")
        if self._outbox.is_overdue(item):
            reach("client.delivery.overdue")
        retrying = Retrying(
            wait=wait_random_exponential(multiplier=_WAIT_FIRST_S, max=_WAIT_MAX_S),
            retry=retry_if_exception_type(_TryAgain),
            stop=lambda state: until.is_set() or _is_too_long(state, patience_s),
            sleep=lambda seconds: _sleep(until, seconds),
            reraise=True,
        )
        try:
            return retrying(self._try, item)
        except _TryAgain:
            return None

    def _try(self, item: Item) -> Item:
        reach("client.delivery.unmarked")
        earlier = self._outbox.mark_sent(item)
        if earlier.state.is_final:
            return self._as(item, earlier.state, "it ended before it was sent")
        reach("client.delivery.marked-unsent")
        answer: PaymentResult | ClientError
        try:
            answer = self._client.pay(item.request)
        except ClientError as error:
            answer = error
        reach("client.delivery.answered-unsettled")
        state, reason = judge(answer)
        if state is State.REFUSED and earlier.state is State.UNKNOWN:
            state, reason = self._look_back(item, earlier, reason)
            if state is None:
                self._outbox.unmark_sent(item, earlier)
        if state is None:
            self._report(self._as(item, State.UNKNOWN, reason), reason)
            raise _TryAgain(reason)
        return self._settle(item, state, reason)

    def _look_back(self, item: Item, earlier: Earlier, reason: str) -> Verdict:
        """Decide on what is refused now and was sent before: the earlier send may have been taken, or be yet."""
        try:
            view = self._client.payment(item.request.payment_id)
        except NotFound:
            if self._outbox.may_yet_arrive(earlier):
                return Verdict(None, f"{reason}; it was sent before without an answer, and that may yet arrive")
            return Verdict(State.REFUSED, reason)
        except ClientError as error:
            return judge(error) if not isinstance(error, NotAllowed) else Verdict(None, str(error))
        if not _is_what_was_asked(view, item.request):
            # Another payment has this id. While it is under way, it may yet come to nothing.
            return Verdict(None if view.outcome == "pending" else State.REFUSED, reason)
        return judge(PaymentResult(view.payment_id, view.outcome, view.reason, replayed=True))

    def _settle(self, item: Item, state: State, reason: str) -> Item:
        self._outbox.settle(item, state, reason)
        reach("client.delivery.settled-untold")
        settled = self._as(item, state, reason)
        self._report(settled, reason)
        return settled

    @staticmethod
    def _as(item: Item, state: State, reason: str) -> Item:
        return Item(item.user, item.request, state, reason, item.saved_at)

    @contextmanager
    def _alone(self, until: Event, patience_s: float | None) -> Iterator[bool]:
        """Be the only one to deliver, since two at once would not keep the order; False if another stays."""
        path = self._outbox.path.with_suffix(".delivering")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        gives_up = time.monotonic() + (math.inf if patience_s is None else patience_s)
        try:
            while not (is_alone := _try_to_lock(descriptor)) and time.monotonic() < gives_up:
                reach("client.delivery.behind-another")
                if until.wait(_LOCK_POLL_S):
                    break
            reach("client.delivery.alone")
            yield is_alone
        finally:
            os.close(descriptor)


def _is_what_was_asked(view: PaymentView, request: PaymentRequest) -> bool:
    return all(getattr(view, field.name) == getattr(request, field.name) for field in fields(PaymentRequest))


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_too_long(state: RetryCallState, patience_s: float | None) -> bool:
    return patience_s is not None and (state.seconds_since_start or 0.0) >= patience_s


def _sleep(until: Event, seconds: float) -> None:
    until.wait(seconds)
