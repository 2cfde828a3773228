"""What clients call: logins, payments, history, balances.

Who calls, and with which role, has been settled before a method here runs (the access
rules in payment.proto). What remains is ownership: a customer acts on their own
accounts and payments only, and what is another's looks as if it were not there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import grpc
from interbank.v1 import access_pb2, payment_pb2_grpc
from interbank.v1 import payment_pb2 as pb

from nodes.core.authority import Authority, fingerprint
from nodes.core.coordinator import (
    Answer,
    BankAway,
    BankUnknown,
    Contradicted,
    Decided,
    Differs,
    Overloaded,
)
from nodes.core.messages import Payment
from nodes.core.names import is_bank_name, is_user_name
from nodes.core.violations import Malformed, Violation, parse_payment_id
from nodes.gateway.audit_log import PaymentAudit
from nodes.gateway.bank_link import BankLink
from nodes.gateway.conversions import read_payment, write_decision, write_open_payment, write_time
from nodes.gateway.logins import Logins
from nodes.gateway.loop import Asked, GatewayLoop
from nodes.gateway.store import GatewayStore
from nodes.runtime.access import Caller, Login, current_caller
from nodes.runtime.capacity import Capacity
from nodes.runtime.crash_points import reach
from nodes.runtime.pace import Pace
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.rpc import Context
from nodes.runtime.turns import Inbox

_PAGE_SIZE = 20
_PAGE_SIZE_MAX = 500
_PAY_MANY_ITEMS_MAX = 4096
_PAY_MANY_OPEN_MAX = 4096
"""Payments of one stream that may be under way; beyond that its next message is not read."""
_PAY_MANY_ITEMS_AT_ONCE = 4096
"""Payments of all streams that are begun at once, as many as one message may have: some 80 ms."""
_PAGES_MAX = 160
"""Pages of history that are asked for and not yet sent, each some 100 KB at most; one certificate has half."""
_ROWS_AT_ONCE = 500
_NEWEST = 2**63 - 1
_RETRY_AFTER_S = 0.5


class Problem(NamedTuple):
    """Why a payment was not begun."""

    code: grpc.StatusCode
    message: str
    violations: Sequence[Violation] = ()
    retry_after_s: float | None = None

    def refuse(self) -> RequestRefused:
        """Make it the error of a call."""
        return RequestRefused(self.code, self.message, self.violations, self.retry_after_s)


class PaymentService(payment_pb2_grpc.PaymentServiceServicer):
    """The gateway's public face."""

    def __init__(self, logins: Logins, loop: GatewayLoop, store: GatewayStore, audit: PaymentAudit) -> None:
        self._logins = logins
        self._loop = loop
        self._store = store
        self._audit = audit
        self._pages = Capacity("pages of history", _PAGES_MAX)
        self._page_pace = Pace(_ROWS_AT_ONCE)
        self._stream_pace = Pace(_PAY_MANY_ITEMS_AT_ONCE)

    # -- logins -----------------------------------------------------------------

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Trade name and password for a token."""
        logged_in = await self._logins.log_in(request.user, request.password, current_caller().thumbprint)
        self._audit.note(current_caller(), "login", user=logged_in.user)
        reach("gateway.login.unanswered")
        return pb.LoginResponse(
            token=logged_in.token,
            expires_at=write_time(int(logged_in.expires_at * 1_000_000)),
            user=logged_in.user,
            role=logged_in.role,  # type: ignore[arg-type]
        )

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Revoke the token of this call."""
        login = _login()
        self._logins.log_out(login.token_id, login.expires_at)
        self._audit.note(current_caller(), "logout")
        reach("gateway.logout.durable-unanswered")
        return pb.LogoutResponse()

    # -- payments ---------------------------------------------------------------

    async def Pay(self, request: pb.PayRequest, context: Context) -> pb.PayResponse:
        """Carry one payment out, and answer when its outcome is durable."""
        payment = _read_own_payment(request, _login().user)
        if isinstance(payment, Problem):
            raise payment.refuse()
        self._audit.pay(current_caller(), [payment])
        reach("gateway.pay.admitted")
        answer = await self._loop.pay(payment, _note_authority(current_caller(), payment, time.time_ns() // 1000))
        reach("gateway.pay.unanswered")
        if not isinstance(answer, Decided):
            raise _explain(answer).refuse()
        decision = answer.decision
        return pb.PayResponse(
            payment_id=request.payment_id,
            outcome=decision.outcome.value,  # type: ignore[arg-type]
            reason=decision.reason.value,  # type: ignore[arg-type]
            replayed=answer.replayed,
            decided_at=write_time(decision.decided_at_us),
        )

    async def PayMany(
        self, request_iterator: AsyncIterator[pb.PayManyRequest], context: Context
    ) -> AsyncIterator[pb.PayManyResponse]:
        """Carry out many payments a message; results go back as they come, gathered."""
        stream = _PaymentStream(current_caller(), self._loop, self._audit, self._stream_pace)
        reading = asyncio.create_task(stream.read(request_iterator))
        try:
            async for response in stream.responses():
                yield response
            await reading
        finally:
            reading.cancel()

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        """Show one payment that concerns the user."""
        user = _subject(request.user)
        payment_id = _parse_payment_id(request.payment_id)
        under_way = self._loop.coordinator.open.get((payment_id, user))
        if under_way is not None:
            shown = write_open_payment(under_way.payment, user, under_way.created_at_us)
            return pb.GetPaymentResponse(payment=shown)
        decisions = self._store.decisions_of(payment_id)
        # The user's own first: whoever paid them may have used the same id.
        for decision in sorted(decisions, key=lambda decision: decision.payment.payer != user):
            payment = decision.payment
            if user == payment.payer or (user == payment.payee and decision.is_committed):
                return pb.GetPaymentResponse(payment=write_decision(decision, user))
        raise RequestRefused(grpc.StatusCode.NOT_FOUND, f"{user} has no payment {request.payment_id}")

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        """Show a page of the user's payments, newest first."""
        user = _subject(request.user)
        size = min(request.page_size, _PAGE_SIZE_MAX) if request.page_size > 0 else _PAGE_SIZE
        before = _parse_page_token(request.page_token)
        self._take_page(current_caller().thumbprint, context)
        await self._page_pace.begin(size)
        decisions = self._store.history(user, before, size + 1)
        page = decisions[:size]
        return pb.ListPaymentsResponse(
            payments=[write_decision(decision, user) for decision in page],
            next_page_token=str(page[-1].sequence) if len(decisions) > size else "",
        )

    def _take_page(self, thumbprint: str, context: Context) -> None:
        """Take a place for a page until all of it is sent: who asks and does not read would have memory filled."""
        self._pages.take(thumbprint)
        context.add_done_callback(lambda _: self._pages.give_back(thumbprint))  # type: ignore[arg-type]  # a protocol

    # -- balances ---------------------------------------------------------------

    async def GetBalance(self, request: pb.GetBalanceRequest, context: Context) -> pb.GetBalanceResponse:
        """Ask one bank, or all, for the user's account."""
        user = _subject(request.user)
        links = [self._find_link(request.bank)] if request.bank else self._loop.sorted_links()
        asked = await asyncio.gather(*(link.balances(user) for link in links), return_exceptions=True)
        response = pb.GetBalanceResponse()
        for link, answer in zip(links, asked, strict=True):
            if not isinstance(answer, BaseException):
                response.balances.extend(answer.balances)
            elif isinstance(answer, grpc.aio.AioRpcError | ConnectionError):
                response.unavailable_banks.append(link.name)
            else:
                raise answer
        if request.bank and not response.balances:
            raise _explain_no_balance(user, request.bank, is_away=bool(response.unavailable_banks))
        return response

    def _find_link(self, bank: str) -> BankLink:
        if not is_bank_name(bank) or bank not in self._loop.links:
            raise _explain(BankUnknown(bank, "bank")).refuse()
        return self._loop.links[bank]


class _PaymentStream:
    """The payments of one PayMany call: begun as they come, answered as they end."""

    def __init__(self, caller: Caller, loop: GatewayLoop, audit: PaymentAudit, pace: Pace) -> None:
        self._caller = caller
        self._audit = audit
        self._loop = loop
        self._pace = pace
        self._results: Inbox[pb.PayResult | None] = Inbox()
        self._under_way = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def read(self, requests: AsyncIterator[pb.PayManyRequest]) -> None:
        """Begin all that comes, no faster than it ends."""
        try:
            async for request in requests:
                reach("gateway.pay-many.read")
                _demand_few(len(request.payments))
                await self._pace.begin(len(request.payments))
                self._begin_all(request.payments)
                if self._under_way > _PAY_MANY_OPEN_MAX:
                    self._has_room.clear()
                    await self._has_room.wait()
        finally:
            self._results.put(None)

    async def responses(self) -> AsyncIterator[pb.PayManyResponse]:
        """Yield results until the caller has ended its side and all are told."""
        is_reading = True
        async for gathered in self._results.batches():
            results = [result for result in gathered if result is not None]
            is_reading = is_reading and len(results) == len(gathered)
            self._under_way -= len(results)
            if self._under_way <= _PAY_MANY_OPEN_MAX // 2:
                self._has_room.set()
            if results:
                reach("gateway.pay-many.unanswered")
                yield pb.PayManyResponse(results=results)
            if not is_reading and not self._under_way:
                return

    def _begin_all(self, items: Sequence[pb.PayRequest]) -> None:
        assert self._caller.login is not None
        user = self._caller.login.user
        self._under_way += len(items)
        asked = [(item.payment_id, _read_own_payment(item, user)) for item in items]
        self._audit.pay(self._caller, [payment for _, payment in asked if not isinstance(payment, Problem)])
        self._loop.begin_many(self._accept(asked))

    def _accept(self, asked: Iterable[tuple[str, Payment | Problem]]) -> Iterator[Asked]:
        """Yield the payments that can be begun; refuse the others, each alone."""
        now_us = time.time_ns() // 1000
        for payment_id, payment in asked:
            if isinstance(payment, Problem):
                self._refuse(payment_id, payment)
            else:
                authority = _note_authority(self._caller, payment, now_us)
                yield payment, partial(self._answer, payment_id), authority

    def _refuse(self, payment_id: str, problem: Problem) -> None:
        if problem.code is grpc.StatusCode.PERMISSION_DENIED:
            self._audit.deny_payment(self._caller, payment_id, problem.message)
        self._results.put(_refuse_item(payment_id, problem))

    def _answer(self, payment_id: str, answer: Answer) -> None:
        self._results.put(_write_result(payment_id, answer))


def _demand_few(items: int) -> None:
    if items > _PAY_MANY_ITEMS_MAX:
        said = f"a message may have at most {_PAY_MANY_ITEMS_MAX} payments, this one has {items}; none was begun"
        raise RequestRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, said)


def _write_result(payment_id: str, answer: Answer) -> pb.PayResult:
    if not isinstance(answer, Decided):
        return _refuse_item(payment_id, _explain(answer))
    outcome, reason = answer.decision[3:5]
    return pb.PayResult(payment_id=payment_id, outcome=outcome, reason=reason, replayed=answer.replayed)  # type: ignore[arg-type]


def _refuse_item(payment_id: str, problem: Problem) -> pb.PayResult:
    refused = pb.RefusedRequest(
        code=problem.code.value[0],
        message=problem.message,
        violations=[pb.FieldViolation(field=field, description=said) for field, said in problem.violations],
        retry_after_ms=int((problem.retry_after_s or 0) * 1000),
    )
    return pb.PayResult(payment_id=payment_id, refused=refused)


def _read_own_payment(request: pb.PayRequest, user: str) -> Payment | Problem:
    """Parse a request to pay; only from an account of ``user``."""
    try:
        payment = read_payment(request)
    except Malformed as error:
        return Problem(grpc.StatusCode.INVALID_ARGUMENT, str(error), error.violations)
    if payment.payer != user:
        return Problem(grpc.StatusCode.PERMISSION_DENIED, f"{user} may not pay from {request.payer_account}")
    return payment


def _note_authority(caller: Caller, payment: Payment, now_us: int) -> Authority:
    """Note what the caller asked for and with which login, before anything else has the payment in hand."""
    return Authority(caller.token, fingerprint(payment[:-1]), now_us)


def _explain(answer: Answer) -> Problem:
    """Say why a payment was not begun: the one table of such answers and their gRPC codes."""
    code = grpc.StatusCode
    match answer:
        case Differs(field):
            said = f"this payment id was used for another payment: {field} differs; use a new id"
            return Problem(code.FAILED_PRECONDITION, said, [(field, said)])
        case BankUnknown(bank, field):
            said = f"there is no bank {bank[:40]!r} here"
            return Problem(code.NOT_FOUND, said, [(field, said)])
        case BankAway(bank):
            said = f"{bank} is away; nothing was begun, send the same payment again"
            return Problem(code.UNAVAILABLE, said, retry_after_s=_RETRY_AFTER_S)
        case Overloaded():
            said = "too many payments are under way; send the same payment again later"
            return Problem(code.RESOURCE_EXHAUSTED, said, retry_after_s=_RETRY_AFTER_S)
        case Contradicted(bank):
            return Problem(code.DATA_LOSS, f"{bank} has this payment on record otherwise; ask the operator")
        case _:
            raise AssertionError(f"{answer} is an outcome")


def _explain_no_balance(user: str, bank: str, *, is_away: bool) -> RequestRefused:
    if is_away:
        return RequestRefused(grpc.StatusCode.UNAVAILABLE, f"{bank} is away; try again", (), _RETRY_AFTER_S)
    return RequestRefused(grpc.StatusCode.NOT_FOUND, f"{user} has no account at {bank}")


def _login() -> Login:
    login = current_caller().login
    assert login is not None, "the access rule of this RPC asks for a login"
    return login


def _subject(asked: str) -> str:
    """Return whose payments or balances a request is about: the caller's own, or whose an auditor names."""
    login = _login()
    if login.role == access_pb2.ROLE_AUDITOR:
        if not is_user_name(asked):
            said = "an auditor names the user whose accounts to look at"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"user: {said}", [("user", said)])
        return asked
    if asked not in ("", login.user):
        raise RequestRefused(grpc.StatusCode.PERMISSION_DENIED, f"{login.user} may look at no one else's accounts")
    return login.user


def _parse_payment_id(text: str) -> bytes:
    try:
        return parse_payment_id(text)
    except Malformed as error:
        raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, str(error), error.violations) from error


def _parse_page_token(text: str) -> int:
    if not text:
        return _NEWEST
    if not (text.isascii() and text.isdigit() and len(text) < len(str(_NEWEST))):
        said = "must be empty or a next_page_token as it was given"
        raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, f"page_token: {said}", [("page_token", said)])
    return int(text)
