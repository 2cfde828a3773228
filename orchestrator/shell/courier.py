"""Sends one user's queued payments on a thread of its own, for as long as the shell is open.

`Delivery` sends what waits, in order. After any trouble a round begins with a question
that moves no money, so that while the gateway is away nothing more is sent: what is
queued then stays *never sent*, which may still be cancelled; and a login that is over is
renewed before it is needed. Between two questions tenacity waits: exponentially longer,
with full jitter, capped.

Whoever queues a payment calls `carry`, which starts a round (or makes one that pauses
go on at once) and waits for the payment's end, or until there is trouble. The thread
goes on alone after that; an interrupted caller loses nothing.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from nodes.client import (
    Client,
    ClientError,
    Delivery,
    GatewayAway,
    Item,
    NotAllowed,
    NotLoggedIn,
    Outbox,
    OutcomeUnknown,
    Undelivered,
)
from nodes.runtime.database import DatabaseUnusable

_WAIT_FIRST_S = 0.2
_WAIT_MAX_S = 5.0
_ROUND_MAX_S = 12.0
"""Longer than one call may take: a round that shows neither trouble nor an end is not waited for."""
_OLD_TROUBLE_S = 1.0
"""Long enough to hear that a gateway that was away is back, short when it hangs."""


class Courier:
    """One user's courier.

    ``is_logged_in`` tells whether the client is, at the start; ``log_in_again`` logs it in
    and returns whether that worked. ``tell`` is told of each item that ended and that
    nobody waits for. Both are called on the courier's thread.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: Client,
        user: str,
        *,
        is_logged_in: bool,
        log_in_again: Callable[[], bool],
        tell: Callable[[Item], None],
    ) -> None:
        self.user = user
        self.trouble = ""
        self.is_login_needed = False
        self._delivery = Delivery(outbox, client, user, self._on_report)
        self._client = client
        self._log_in_again = log_in_again
        self._tell = tell
        self._changed = threading.Condition()
        self._again = threading.Event()
        self._is_doubtful = not is_logged_in
        self._is_trouble_new = False
        self._is_resting = True
        self._is_stopping = False
        self._awaited = ""
        self._thread = threading.Thread(target=self._run, daemon=True, name="courier")
        self._thread.start()

    def carry(self, payment_id: str = "", *, within_s: float) -> None:
        """Send what waits, and return when all (or ``payment_id``) has ended.

        When there is trouble, goes on trying for ``within_s`` before it returns.
        """
        with self._changed:
            self._awaited = payment_id
            self._start_round()
            try:
                self._wait(payment_id, within_s)
            finally:
                self._awaited = ""

    def wake(self) -> None:
        """Send what waits, and wait for nothing."""
        with self._changed:
            self._start_round()

    def stop(self, within_s: float) -> None:
        """Send no more; a payment on its way is waited for, but not longer than ``within_s``."""
        self._is_stopping = True
        self._again.set()
        self._thread.join(within_s)

    # -- callers' threads -------------------------------------------------------

    def _start_round(self) -> None:
        if self._is_resting:
            self.trouble = ""
        self._is_resting = self._is_trouble_new = False
        self._again.set()

    def _wait(self, payment_id: str, within_s: float) -> None:
        began = time.monotonic()
        while not self._is_resting and (not payment_id or self._awaited):
            left_s = began + within_s + self._grace_s() - time.monotonic()
            if left_s <= 0:
                return
            self._changed.wait(left_s)

    def _grace_s(self) -> float:
        if self._is_trouble_new:
            return 0.0
        return _OLD_TROUBLE_S if self.trouble else _ROUND_MAX_S

    # -- the courier's thread ---------------------------------------------------

    def _run(self) -> None:
        while not self._is_stopping:
            self._again.wait()
            self._again.clear()
            self._do_round()
            with self._changed:
                self._is_resting = not self._again.is_set()
                self._changed.notify_all()

    def _do_round(self) -> None:
        try:
            if self._is_doubtful:
                self._reach()
            if not self._is_stopping:
                self._delivery.deliver_all(until=self._again)
        except Undelivered as error:
            if not isinstance(error.__cause__, NotLoggedIn):
                self._note(str(error))
            elif not self._is_stopping:
                # The login ended while something waited: the next round begins by renewing it.
                self._is_doubtful = True
                self._again.set()
        except (ClientError, DatabaseUnusable) as error:
            self._note(str(error), is_login_needed=isinstance(error, NotLoggedIn))

    def _reach(self) -> None:
        """Wait until the gateway answers to a login that holds."""
        Retrying(
            wait=wait_random_exponential(multiplier=_WAIT_FIRST_S, max=_WAIT_MAX_S),
            retry=retry_if_exception_type((GatewayAway, OutcomeUnknown)),
            stop=lambda _: self._is_stopping,
            sleep=self._pause,
            reraise=True,
        )(self._ask)

    def _ask(self) -> None:
        try:
            self._touch()
        except NotLoggedIn:
            if not self._log_in_again():
                raise
            self._touch()
        except (GatewayAway, OutcomeUnknown) as error:
            self._note(str(error))
            raise
        self.trouble = ""
        self.is_login_needed = self._is_doubtful = self._is_trouble_new = False

    def _touch(self) -> None:
        # Who may not look may still pay, or will be told why not.
        with suppress(NotAllowed):
            self._client.payments(1)

    def _pause(self, seconds: float) -> None:
        self._again.wait(seconds)
        self._again.clear()

    def _on_report(self, item: Item, reason: str) -> None:
        if not item.state.is_final:
            self._note(reason)
            return
        with self._changed:
            is_awaited = item.request.payment_id == self._awaited
            if is_awaited:
                self._awaited = ""
            self.trouble = ""
            self._is_trouble_new = False
            self._changed.notify_all()
        if not is_awaited:
            self._tell(item)

    def _note(self, trouble: str, *, is_login_needed: bool = False) -> None:
        with self._changed:
            self.trouble, self.is_login_needed = trouble, is_login_needed
            self._is_doubtful = self._is_trouble_new = True
            self._changed.notify_all()
