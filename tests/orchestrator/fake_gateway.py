"""A gateway of the shell's tests: a client that keeps its books in memory, and can be away."""

import threading
from datetime import UTC, datetime, timedelta

from nodes.client import Balance, Balances, GatewayAway, NotFound, NotLoggedIn, Page, PaymentResult, PaymentView
from nodes.client.client import Session

OPENING = {"alice@HDFC": 500_000, "alice@ICICI": 1_000_000, "bob@HDFC": 300_000}


class FakeGateway:
    """What `nodes.client.Client` is to the shell. ``sent`` has the id of every send, in order."""

    def __init__(self):
        self.balances_minor = dict(OPENING)
        self.views = {}
        self.sent = []
        self.logins = 0
        self.is_away = False
        self.hold = threading.Event()
        self.hold.set()
        self._user = ""

    def log_in(self, user, password):
        self._demand_presence()
        if password != f"{user}123":
            raise NotLoggedIn("user or password is wrong")
        self._user = user
        self.logins += 1
        return Session(user, "customer", datetime.now(UTC) + timedelta(hours=1))

    def log_out(self):
        self._demand_login()
        self._user = ""

    def expire(self):
        self._user = ""

    def pay(self, request):
        self._demand_login()
        self.sent.append(request.payment_id)
        self.hold.wait(10)
        if request.payment_id not in self.views:
            self._decide(request)
        view = self.views[request.payment_id]
        return PaymentResult(view.payment_id, view.outcome, view.reason, replayed=False)

    def payment(self, payment_id, user=""):
        self._demand_login()
        if payment_id not in self.views:
            raise NotFound(f"{self._user} has no payment {payment_id}")
        return self.views[payment_id]

    def payments(self, page_size=20, page_token="", user=""):
        self._demand_login()
        return Page(tuple(list(self.views.values())[::-1][:page_size]), "")

    def balances(self, bank="", user=""):
        self._demand_login()
        account = f"{self._user}@{bank}"
        minor = self.balances_minor[account]
        return Balances((Balance(account, minor, 0, minor, "INR"),), ())

    def _decide(self, request):
        is_covered = self.balances_minor[request.payer_account] >= request.amount_minor
        if is_covered:
            self.balances_minor[request.payer_account] -= request.amount_minor
            self.balances_minor[request.payee_account] += request.amount_minor
        self.views[request.payment_id] = PaymentView(
            payment_id=request.payment_id,
            payer_account=request.payer_account,
            payee_account=request.payee_account,
            amount_minor=request.amount_minor,
            currency=request.currency,
            memo=request.memo,
            outcome="committed" if is_covered else "declined",
            reason="" if is_covered else "insufficient_funds",
            direction="outgoing",
            created_at=datetime.now(UTC),
            decided_at=datetime.now(UTC),
        )

    def _demand_presence(self):
        if self.is_away:
            raise GatewayAway("the gateway is away")

    def _demand_login(self):
        self._demand_presence()
        if not self._user:
            raise NotLoggedIn("the login is over")
