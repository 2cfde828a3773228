"""Typed calls to the gateway, for programs without an event loop. Nothing here retries by itself."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import uuid_utils
from google.protobuf.timestamp_pb2 import Timestamp
from interbank.v1 import (
    access_pb2,
    audit_pb2,
    audit_pb2_grpc,
    bank_pb2,
    bank_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
    payment_pb2_grpc,
)
from interbank.v1 import payment_pb2 as pb

from nodes.client.errors import explain
from nodes.core.messages import Outcome, Reason
from nodes.core.names import Identity, PeerKind
from nodes.core.violations import parse_payment_id
from nodes.runtime.crash_points import reach
from nodes.runtime.pages import RECORDS_PAGE
from nodes.runtime.tls import CertificateUnusable, Tls, dial_blocking, load_again

_CALL_TIMEOUT_S = 5.0
PAY_TIMEOUT_S = 10.0
_TOTALS_TIMEOUT_S = 60.0
_MENDED_BY_RENEWAL = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED)
_PAGE_TIMEOUT_S = 60.0
_PAGES_AHEAD = 7

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is logged in, and until when."""

    user: str
    role: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What to pay. The id is made once (`new_payment_id`) and kept for every further send."""

    payment_id: str
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    memo: str = ""


@dataclass(frozen=True, slots=True)
class PaymentResult:
    """How a payment ended: ``committed``, or ``declined`` with a reason such as ``insufficient_funds``."""

    payment_id: str
    outcome: str
    reason: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment as its user sees it. ``direction`` is outgoing, incoming or between_own_accounts."""

    payment_id: str
    payer_account: str
    payee_account: str
    amount_minor: int
    currency: str
    memo: str
    outcome: str
    reason: str
    direction: str
    created_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments, newest first; ``next_page_token`` is empty on the last page."""

    payments: tuple[PaymentView, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Balance:
    """An account in minor units; ``available`` is what can be paid with."""

    account: str
    posted_minor: int
    held_minor: int
    available_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Balances:
    """The user's accounts, and the banks that could not be asked."""

    balances: tuple[Balance, ...]
    unavailable_banks: tuple[str, ...]


def new_payment_id() -> str:
    """Make the id of a new payment (UUID version 7)."""
    return str(uuid_utils.uuid7())


class _Line:
    """A channel to a node; the gateway, unless another is named.

    A channel keeps the certificate that it was made with. So when a call fails in a way
    that another certificate may mend, and another lies on disk by now, the call is made
    once more on a channel with that one; what was replaced while all went well is left
    alone, since a login holds for the certificate that it was made with.
    """

    def __init__(
        self, address: str, tls: Tls, interceptors: Sequence[Any] = (), *, peer: Identity | None = None
    ) -> None:
        self._address = address
        self._tls = tls
        self._interceptors = interceptors
        self._peer = peer or Identity(tls.identity.cluster, PeerKind.GATEWAY)
        self._whom = self._peer.name or "the gateway"
        self._renewing = threading.Lock()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _open(self) -> None:
        self._channel = dial_blocking(self._address, self._tls, self._peer, interceptors=self._interceptors)

    def _call(self, find: Callable[[], Callable[..., Answer]], request: Any, **options: Any) -> Answer:
        """Call the method that ``find`` returns, on the channel of that moment."""
        tls = self._tls
        try:
            return find()(request, **options)
        except grpc.RpcError as error:
            if error.code() not in _MENDED_BY_RENEWAL or not self._renew(tls):
                raise explain(error, self._whom) from error
        try:
            return find()(request, **options)
        except grpc.RpcError as error:
            raise explain(error, self._whom) from error

    def _renew(self, failed: Tls) -> bool:
        """Go over to the certificate that lies on disk; tell whether it is another than the one that failed."""
        with self._renewing:
            if self._tls is failed:
                try:
                    tls = load_again(failed)
                except CertificateUnusable:
                    return False
                if tls == failed:
                    return False
                # Not closed: other threads' calls may be under way; it goes with the last of them.
                self._tls = tls
                self._open()
            return True


class Client(_Line):
    """The gateway, as a user calls it. All methods raise `nodes.client.errors.ClientError`."""

    def __init__(self, address: str, tls: Tls, interceptors: Sequence[Any] = ()) -> None:
        super().__init__(address, tls, interceptors)
        self._metadata: list[tuple[str, str]] = []

    def _open(self) -> None:
        super()._open()
        self._stub = payment_pb2_grpc.PaymentServiceStub(self._channel)

    def log_in(self, user: str, password: str) -> Session:
        """Log in; the token stays in this object alone."""
        request = pb.LoginRequest(user=user, password=password)
        answer = self._call(lambda: self._stub.Login, request, timeout=_CALL_TIMEOUT_S)
        self._metadata = [("authorization", f"Bearer {answer.token}")]
        return read_session(answer)

    def log_out(self) -> None:
        """End the login, here and at the gateway."""
        try:
            self._ask(lambda: self._stub.Logout, pb.LogoutRequest())
        finally:
            self._metadata = []

    def pay(self, request: PaymentRequest) -> PaymentResult:
        """Pay, and wait for the outcome.

        After `OutcomeUnknown` or `GatewayAway` the payment may have happened or not:
        send the same request, with the same id, again.
        """
        return read_result(self._ask(self._find_pay, write_payment(request), timeout=PAY_TIMEOUT_S))

    def _find_pay(self) -> Callable[..., pb.PayResponse]:
        def pay(request: pb.PayRequest, **options: Any) -> pb.PayResponse:
            asked = self._stub.Pay.future(request, **options)
            reach("client.pay.sent-unanswered")
            return asked.result()

        return pay

    def payment(self, payment_id: str, user: str = "") -> PaymentView:
        """Look at one payment; an auditor names the user."""
        request = pb.GetPaymentRequest(payment_id=payment_id, user=user)
        return _read_payment(self._ask(lambda: self._stub.GetPayment, request).payment)

    def payments(self, page_size: int = 20, page_token: str = "", user: str = "") -> Page:
        """Look at a page of payments, newest first; an auditor names the user."""
        request = pb.ListPaymentsRequest(page_size=page_size, page_token=page_token, user=user)
        answer = self._ask(lambda: self._stub.ListPayments, request)
        return Page(tuple(map(_read_payment, answer.payments)), answer.next_page_token)

    def balances(self, bank: str = "", user: str = "") -> Balances:
        """Look at the accounts, at one bank or all; an auditor names the user."""
        answer = self._ask(lambda: self._stub.GetBalance, pb.GetBalanceRequest(bank=bank, user=user))
        balances = tuple(
            Balance(b.account, b.posted_minor, b.held_minor, b.available_minor, b.currency)
            for b in answer.balances
        )
        return Balances(balances, tuple(answer.unavailable_banks))

    def _ask(
        self, find: Callable[[], Callable[..., Answer]], request: Any, timeout: float = _CALL_TIMEOUT_S
    ) -> Answer:
        return self._call(find, request, timeout=timeout, metadata=self._metadata)


class _OperatorLine(_Line):
    """A line to any node with the operator's certificate."""

    def _open(self) -> None:
        super()._open()
        self._node_stub = operator_pb2_grpc.NodeServiceStub(self._channel)

    def status(self) -> operator_pb2.GetStatusResponse:
        """Return how the node is, and its counters."""
        return self._call(
            lambda: self._node_stub.GetStatus, operator_pb2.GetStatusRequest(), timeout=_CALL_TIMEOUT_S
        )


class AuditLine(_OperatorLine):
    """A line to any node that reads its records, page by page."""

    def _open(self) -> None:
        super()._open()
        self._audit_stub = audit_pb2_grpc.AuditServiceStub(self._channel)

    def standing(self, cut: int) -> Iterator[audit_pb2.ReadStandingResponse]:
        """Yield the pages of what changes, as it stood at the cut."""
        start = 0
        while True:
            request = audit_pb2.ReadStandingRequest(cut=cut, start=start)
            page = self._call(lambda: self._audit_stub.ReadStanding, request, timeout=_PAGE_TIMEOUT_S)
            yield page
            start = page.next_start
            if not start:
                return

    def records(self, until: int) -> Iterator[audit_pb2.ReadRecordsResponse]:
        """Yield the pages of what is written once, up to a sequence."""
        requests = (
            audit_pb2.ReadRecordsRequest(after=after, until=until) for after in range(0, until, RECORDS_PAGE)
        )
        return self._read_ahead(lambda: self._audit_stub.ReadRecords, requests)

    def links(self, until: int) -> Iterator[audit_pb2.ReadLinksResponse]:
        """Yield the pages of the chain, up to the number of a link."""
        requests = (
            audit_pb2.ReadLinksRequest(after=after, until=until) for after in range(0, until, RECORDS_PAGE)
        )
        return self._read_ahead(lambda: self._audit_stub.ReadLinks, requests)

    def _read_ahead(self, find: Callable[[], Any], requests: Iterator[Any]) -> Iterator[Any]:
        """Yield the answers in order, some asked for ahead: one at a time, a busy node lets each wait its turn."""
        waiting: deque[tuple[Any, Any]] = deque()
        for request in requests:
            waiting.append((request, find().future(request, timeout=_PAGE_TIMEOUT_S)))
            if len(waiting) > _PAGES_AHEAD:
                yield self._finish(find, *waiting.popleft())
        while waiting:
            yield self._finish(find, *waiting.popleft())

    def _finish(self, find: Callable[[], Any], request: Any, asked: Any) -> Any:
        try:
            return asked.result()
        except grpc.RpcError:
            return self._call(find, request, timeout=_PAGE_TIMEOUT_S)


class OperatorClient(AuditLine):
    """The gateway, as the operator's certificate calls it."""

    def _open(self) -> None:
        super()._open()
        self._stub = operator_pb2_grpc.OperatorServiceStub(self._channel)

    def show_payment(self, payment_id: str) -> operator_pb2.ShowPaymentResponse:
        """Return all that gateway and banks know of a payment id."""
        request = operator_pb2.ShowPaymentRequest(payment_id=payment_id)
        return self._call(lambda: self._stub.ShowPayment, request, timeout=_CALL_TIMEOUT_S)

    def judge_in_doubt(self, keys: Sequence[bank_pb2.TransactionKey]) -> list[str]:
        """Return what the gateway says of each transaction that a bank holds."""
        request = operator_pb2.JudgeInDoubtRequest(transactions=keys)
        return list(self._call(lambda: self._stub.JudgeInDoubt, request, timeout=_CALL_TIMEOUT_S).said)

    def resolve_in_doubt(self, request: operator_pb2.ResolveInDoubtRequest) -> None:
        """Settle by hand what no record settles; raises `ClientError` with what speaks against it."""
        self._call(lambda: self._stub.ResolveInDoubt, request, timeout=_PAGE_TIMEOUT_S)

    def take_cut(self, *, keep_books: bool = False) -> operator_pb2.TakeCutResponse:
        """Return how the books of all banks stood at one moment; `GatewayAway` while a bank is away."""
        request = operator_pb2.TakeCutRequest(keep_books=keep_books)
        return self._call(lambda: self._stub.TakeCut, request, timeout=_TOTALS_TIMEOUT_S)

    def collect_totals(self) -> operator_pb2.CollectTotalsResponse:
        """Return the sums of every bank's books."""
        return self._call(
            lambda: self._stub.CollectTotals, operator_pb2.CollectTotalsRequest(), timeout=_TOTALS_TIMEOUT_S
        )


class BankInspector(AuditLine):
    """A bank, as the operator's certificate calls it."""

    def __init__(self, name: str, address: str, tls: Tls) -> None:
        super().__init__(address, tls, peer=Identity(tls.identity.cluster, PeerKind.BANK, name))

    def _open(self) -> None:
        super()._open()
        self._stub = bank_pb2_grpc.BankServiceStub(self._channel)

    def in_doubt(self) -> list[bank_pb2.HoldRecord]:
        """Return all that this bank holds for a decision that it does not know."""
        request = bank_pb2.ListInDoubtRequest()
        return list(self._call(lambda: self._stub.ListInDoubt, request, timeout=_CALL_TIMEOUT_S).holds)

    def ask_gateway(self) -> tuple[int, int]:
        """Have the bank ask about all of it now; return how many it asked about, and had answered."""
        answer = self._call(lambda: self._stub.AskGateway, bank_pb2.AskGatewayRequest(), timeout=_CALL_TIMEOUT_S)
        return answer.asked, answer.answered

    def is_prepared(self, payment_id: str) -> bool:
        """Tell whether this bank has voted yes on a payment and does not know the decision."""
        return any(known.state == bank_pb2.TRANSACTION_STATE_PREPARED for known in self.transactions(payment_id))

    def transactions(self, payment_id: str) -> list[bank_pb2.BankTransaction]:
        """Return what this bank has on record for a payment id, whoever paid."""
        request = bank_pb2.GetTransactionsRequest(payment_id=parse_payment_id(payment_id))
        found = self._call(lambda: self._stub.GetTransactions, request, timeout=_CALL_TIMEOUT_S)
        return list(found.transactions)


def write_payment(request: PaymentRequest) -> pb.PayRequest:
    """Say what to pay."""
    return pb.PayRequest(
        payment_id=request.payment_id,
        payer_account=request.payer_account,
        payee_account=request.payee_account,
        amount_minor=request.amount_minor,
        currency=request.currency,
        memo=request.memo,
    )


def read_result(answer: pb.PayResponse | pb.PayResult) -> PaymentResult:
    """Return how a payment ended."""
    return PaymentResult(
        answer.payment_id, _outcome_name(answer.outcome), _reason_name(answer.reason), answer.replayed
    )


def read_session(answer: pb.LoginResponse) -> Session:
    """Return who is logged in."""
    role = access_pb2.Role.Name(answer.role).removeprefix("ROLE_").lower()
    return Session(answer.user, role, _read_time(answer.expires_at))


def _read_payment(payment: pb.Payment) -> PaymentView:
    return PaymentView(
        payment_id=payment.payment_id,
        payer_account=payment.payer_account,
        payee_account=payment.payee_account,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        memo=payment.memo,
        outcome=_outcome_name(payment.outcome),
        reason=_reason_name(payment.reason),
        direction=pb.Direction.Name(payment.direction).removeprefix("DIRECTION_").lower(),
        created_at=_read_time(payment.created_at),
        decided_at=_read_time(payment.decided_at) if payment.HasField("decided_at") else None,
    )


@cache
def _outcome_name(outcome: int) -> str:
    return Outcome(outcome).name.lower()


def _reason_name(reason: int) -> str:
    """Return the reason's name; empty for none; one that a newer gateway gives, by its number."""
    if not reason:
        return ""
    return Reason(reason).name.lower() if reason in set(Reason) else f"reason_{reason}"


def _read_time(at: Timestamp) -> datetime:
    return at.ToDatetime(tzinfo=UTC)
