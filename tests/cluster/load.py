"""Customers of a running cluster, who pay with the client library."""

from functools import partial

from nodes.client import NotLoggedIn, PaymentRequest, new_payment_id
from orchestrator.layout.config import load
from orchestrator.layout.folder import ClusterFolder
from orchestrator.shell.connection import connect
from tests.load import ROUTES, Load

_PER_CLIENT = 20


def customers_of(folder) -> Load:
    """Each takes a new client, with the certificate of then, every few payments; one keeps its own."""
    folder = ClusterFolder(folder)
    connected = partial(connect, load(folder.config), folder)
    often = [partial(_pay_with_a_new_client, connected, route) for route in ROUTES]
    return Load(*often, partial(_pay_with_one_client, connected, ROUTES[0]), begins_with=40)


def _pay_with_a_new_client(connected, route, load: Load) -> None:
    user, payer, payee = route
    with connected() as client:
        client.log_in(user, f"{user}123")
        for _ in range(_PER_CLIENT):
            _pay(client, payer, payee, load)


def _pay_with_one_client(connected, route, load: Load) -> None:
    user, payer, payee = route
    with connected() as client:
        client.log_in(user, f"{user}123")
        while not load.is_over:
            try:
                _pay(client, payer, payee, load)
            except NotLoggedIn:
                # It had to go over to another certificate, which the login does not hold for.
                client.log_in(user, f"{user}123")


def _pay(client, payer, payee, load: Load) -> None:
    result = client.pay(PaymentRequest(new_payment_id(), payer, payee, 1, "INR"))
    assert result.outcome == "committed", result
    load.has_paid()
