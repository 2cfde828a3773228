"""The client library: pay from any Python program, and never pay twice.

    tls = load_tls(TlsFiles(ca, certificate, key), kind=PeerKind.CLIENT)
    with Client("localhost:50052", tls) as client:
        client.log_in("alice", password)
        request = PaymentRequest(new_payment_id(), "alice@ICICI", "bob@HDFC", 100_000, "INR")
        save(request)                                    # before the first send
        result = client.pay(request)                     # committed, or declined with a reason

There are three outcomes. `PaymentResult` says committed or declined, for good. Everything
else leaves the outcome *unknown*: after `OutcomeUnknown` or `GatewayAway` the payment may
have happened or not, and the caller has one duty: send the same request, with the same id,
again, or ask for it by its id. So the request must be on disk before it is sent.

`Outbox` and `Delivery` do just that: save, send in order, ask again with growing waits,
and tell each item's end.

A program with many payments at once uses one of two others, which put whatever is asked for
at the same time on one stream by themselves: `AsyncClient` for tasks of an event loop,
`SharedClient` for threads. One payment alone goes out at once; among many, each costs a
tenth of a call of its own. Outcomes, errors and the caller's duty are the same.

    async with AsyncClient("localhost:50052", tls) as client:
        await client.log_in("alice", password)           # and again by itself when that is over
        results = await asyncio.gather(*map(client.pay, requests), return_exceptions=True)
"""

from nodes.client.async_client import AsyncClient
from nodes.client.book_lines import read_books
from nodes.client.client import (
    Balance,
    Balances,
    BankInspector,
    Client,
    OperatorClient,
    Page,
    PaymentRequest,
    PaymentResult,
    PaymentView,
    Session,
    new_payment_id,
)
from nodes.client.delivery import Delivery, Undelivered
from nodes.client.errors import (
    ClientError,
    GatewayAway,
    Malformed,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    NotTrusted,
    OutcomeUnknown,
)
from nodes.client.outbox import CannotCancel, Item, Outbox, State
from nodes.client.shared_client import SharedClient

__all__ = [
    "AsyncClient",
    "Balance",
    "Balances",
    "BankInspector",
    "CannotCancel",
    "Client",
    "ClientError",
    "Delivery",
    "GatewayAway",
    "Item",
    "Malformed",
    "NotAllowed",
    "NotFound",
    "NotLoggedIn",
    "NotTrusted",
    "OperatorClient",
    "Outbox",
    "OutcomeUnknown",
    "Page",
    "PaymentRequest",
    "PaymentResult",
    "PaymentView",
    "Session",
    "SharedClient",
    "State",
    "Undelivered",
    "new_payment_id",
    "read_books",
]
