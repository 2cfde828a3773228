"""Payments of many callers on one stream, for programs with an event loop.

A payment that nobody else waits beside goes out at once. Whatever is asked for while
a message is on its way to the wire goes out together in the next one: the busier the
program, the larger the messages, and the less each payment costs. Each caller gets
its own answer, or error, as if it had been alone.

What is unanswered when the stream breaks is unknown: it may have been begun or not.
What had not left is not touched by that, and goes out on the next stream; only if
the gateway cannot be reached is it told so.
"""

import asyncio
from types import TracebackType
from typing import Self

import grpc
from interbank.v1 import payment_pb2 as pb
from interbank.v1 import payment_pb2_grpc

from nodes.client.client import (
    PAY_TIMEOUT_S,
    PaymentRequest,
    PaymentResult,
    Session,
    read_result,
    read_session,
    write_payment,
)
from nodes.client.errors import (
    ClientError,
    IdUsed,
    Malformed,
    NotLoggedIn,
    OutcomeUnknown,
    Overloaded,
    explain,
    explain_refused,
)
from nodes.core.names import Identity, PeerKind
from nodes.runtime.rpc import REQUEST_ID_KEY
from nodes.runtime.tls import Tls, dial

_CALL_TIMEOUT_S = 5.0
_MESSAGE_ITEMS_MAX = 1024
_ITEM_BYTES_MAX = 2048
"""Several times what a sound payment has; what is larger must not take its whole message down."""
_SWEEP_EVERY_S = 0.1
_NOT_BEGUN = (NotLoggedIn, Overloaded)
"""What ends a stream before the gateway has taken anything of what it left unanswered.

A certificate that is revoked ends it at once, whatever is under way.
"""

Stream = grpc.aio.StreamStreamCall[pb.PayManyRequest, pb.PayManyResponse]


class _Asked:
    """A payment from when it is asked for until its answer: who waits for it, and until when."""

    __slots__ = ("callers", "deadline", "is_sent", "message", "request")

    def __init__(self, request: PaymentRequest) -> None:
        self.request = request
        self.message = write_payment(request)
        self.callers: list[asyncio.Future[PaymentResult]] = []
        self.deadline = 0.0
        self.is_sent = False

    def settle(self, answer: PaymentResult | ClientError) -> None:
        """Hand the answer to all who wait for it."""
        for caller in self.callers:
            if not caller.done():
                if isinstance(answer, ClientError):
                    caller.set_exception(answer)
                else:
                    caller.set_result(answer)
        self.callers = []


class AsyncClient:
    """The gateway, as many tasks of one user call it at once. All methods raise `ClientError`.

    `pay` sends nothing twice by itself, but for what a login that was over has left
    unbegun: the password is kept in this object alone, to log in again.
    """

    def __init__(self, address: str, tls: Tls) -> None:
        self._channel = dial(address, tls, Identity(tls.identity.cluster, PeerKind.GATEWAY))
        self._stub = payment_pb2_grpc.PaymentServiceStub(self._channel)
        self._credentials = ("", "")
        self._metadata: list[tuple[str, str]] = []
        self._is_fresh = False
        self._asked: dict[str, _Asked] = {}
        self._waiting: list[_Asked] = []
        self._gathered = asyncio.Event()
        self._streaming: asyncio.Task[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; what is unanswered is unknown."""
        await self._end_stream()
        await self._channel.close()

    async def log_in(self, user: str, password: str) -> Session:
        """Log in, and again by itself whenever the login is over."""
        await self._end_stream()
        self._credentials = user, password
        return await self._renew()

    async def log_out(self) -> None:
        """End the login, here and at the gateway."""
        await self._end_stream()
        try:
            await self._stub.Logout(pb.LogoutRequest(), timeout=_CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise explain(error) from error
        finally:
            self._credentials, self._metadata = ("", ""), []

    async def pay(self, request: PaymentRequest, timeout_s: float = PAY_TIMEOUT_S) -> PaymentResult:
        """Pay, and wait for the outcome.

        After `OutcomeUnknown` or `GatewayAway` the payment may have happened or not:
        send the same request, with the same id, again.
        """
        loop = asyncio.get_running_loop()
        asked = self._asked.get(request.payment_id)
        if asked is None:
            asked = self._ask(request)
        elif asked.request != request:
            raise IdUsed("this payment id is under way for another payment; use a new id")
        caller: asyncio.Future[PaymentResult] = loop.create_future()
        asked.callers.append(caller)
        asked.deadline = max(asked.deadline, loop.time() + timeout_s)
        if self._sweep is None:
            self._sweep = loop.call_later(_SWEEP_EVERY_S, self._give_up_late_ones)
        return await caller

    # -- what waits -------------------------------------------------------------

    def _ask(self, request: PaymentRequest) -> _Asked:
        asked = _Asked(request)
        if asked.message.ByteSize() > _ITEM_BYTES_MAX:
            raise Malformed(f"the payment has more than {_ITEM_BYTES_MAX} bytes", ())
        self._asked[request.payment_id] = asked
        self._waiting.append(asked)
        self._gathered.set()
        if self._streaming is None or self._streaming.done():
            self._streaming = asyncio.create_task(self._hold_streams())
        return asked

    def _answer(self, payment_id: str, answer: PaymentResult | ClientError) -> None:
        asked = self._asked.pop(payment_id, None)
        if asked is not None:
            asked.settle(answer)

    def _give_up_late_ones(self) -> None:
        """Tell those whose time is up. What has left is kept: its answer must not pass for another's."""
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(_SWEEP_EVERY_S, self._give_up_late_ones) if self._asked else None
        now = loop.time()
        for asked in [asked for asked in self._asked.values() if asked.deadline <= now]:
            asked.settle(OutcomeUnknown("the gateway did not answer in time"))
            if not asked.is_sent:
                del self._asked[asked.request.payment_id]
        self._waiting = [asked for asked in self._waiting if asked.callers]

    # -- the stream -------------------------------------------------------------

    async def _hold_streams(self) -> None:
        """Open a stream whenever there is something to pay, and tell what came of those that break."""
        while True:
            await self._gathered.wait()
            stream = self._stub.PayMany(metadata=self._metadata)
            sending = asyncio.create_task(self._send(stream))
            try:
                await self._receive(stream)
                error: ClientError = OutcomeUnknown("the gateway has ended the stream")
            except grpc.aio.AioRpcError as failure:
                error = explain(failure)
            finally:
                sending.cancel()
                stream.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            if isinstance(error, NotLoggedIn) and self._credentials[0] and not self._is_fresh:
                await self._log_in_again()
            else:
                self._is_fresh = False
                self._fail(error)

    async def _send(self, stream: Stream) -> None:
        """Send what has gathered, message by message, once the stream was let in.

        gRPC calls a write that meets a refusal an internal error, and hides the refusal.
        """
        await self._reach()
        if not any(key == REQUEST_ID_KEY for key, _ in await stream.initial_metadata()):
            return
        while True:
            await self._gathered.wait()
            batch = self._waiting[:_MESSAGE_ITEMS_MAX]
            del self._waiting[:_MESSAGE_ITEMS_MAX]
            if not self._waiting:
                self._gathered.clear()
            for asked in batch:
                asked.is_sent = True
            await stream.write(pb.PayManyRequest(payments=[asked.message for asked in batch]))

    async def _reach(self) -> None:
        """Wait until the gateway is connected. If it cannot be, reading from the stream tells why."""
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    async def _receive(self, stream: Stream) -> None:
        while isinstance(response := await stream.read(), pb.PayManyResponse):
            self._is_fresh = False
            for result in response.results:
                refused = explain_refused(result.refused) if result.HasField("refused") else None
                self._answer(result.payment_id, refused or read_result(result))

    def _fail(self, error: ClientError) -> None:
        """Tell what the end of a stream means for those that were on it, and for those that were not yet."""
        has_begun = any(asked.is_sent for asked in self._asked.values())
        for payment_id, asked in list(self._asked.items()):
            if asked.is_sent and not isinstance(error, _NOT_BEGUN):
                self._answer(payment_id, OutcomeUnknown(f"the stream broke before the answer came: {error}"))
            elif asked.is_sent or not has_begun:
                self._answer(payment_id, error)
        self._waiting = list(self._asked.values())
        if not self._waiting:
            self._gathered.clear()

    async def _end_stream(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
            self._streaming = None
        for payment_id in list(self._asked):
            self._answer(payment_id, OutcomeUnknown("the client has hung up"))
        self._waiting.clear()
        self._gathered.clear()

    # -- logins -----------------------------------------------------------------

    async def _renew(self) -> Session:
        user, password = self._credentials
        try:
            request = pb.LoginRequest(user=user, password=password)
            answer = await self._stub.Login(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise explain(error) from error
        self._metadata = [("authorization", f"Bearer {answer.token}")]
        return read_session(answer)

    async def _log_in_again(self) -> None:
        """Renew a login that is over, and let what it has left unbegun go out on the next stream."""
        try:
            await self._renew()
        except ClientError as error:
            self._fail(error)
            return
        self._is_fresh = True
        self._waiting = list(self._asked.values())
        for asked in self._waiting:
            asked.is_sent = False
        if self._waiting:
            self._gathered.set()
