"""A client that pays from an outbox, as a shell does, and may be killed at any moment: ``python -m ...courier``.

It saves a payment now and then, whether or not the gateway is there, and delivers what
waits. What it was told is in the outbox; the judge reads that. Started again after a
kill, it goes on with what waits. When its input ends it saves no more, delivers the
rest, and ends: with 0 if nothing waits any more. The first line of its input is the
password.
"""

import argparse
import sys
import threading
import time
from pathlib import Path
from random import Random

from nodes.client import Client, ClientError, Delivery, Outbox, PaymentRequest, Undelivered, new_payment_id
from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles, load_tls

_SAVES_A_S = 8.0
_PATIENCE_S = 1.0
_PAUSE_S = 0.05
_RESTS_WITHIN_S = 45.0


def main() -> int:
    """Run until the input ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.campaign.courier", description=__doc__)
    for name in ("address", "user", "banks"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("outbox", "ca", "certificate", "key"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    flags = parser.parse_args()
    password = sys.stdin.readline().rstrip("\n")
    is_over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(is_over,), daemon=True).start()
    outbox = Outbox(flags.outbox)
    saving = threading.Thread(target=_save_on, args=(outbox, flags.user, flags.banks.split(","), is_over))
    saving.start()
    tls = load_tls(TlsFiles(flags.ca, flags.certificate, flags.key), kind=PeerKind.CLIENT)
    with Client(flags.address, tls) as client:
        _deliver_on(client, outbox, flags.user, password, is_over)
    saving.join()
    return 1 if outbox.waiting(flags.user) else 0


def _wait_for_end(is_over: threading.Event) -> None:
    sys.stdin.read()
    is_over.set()


def _save_on(outbox: Outbox, user: str, banks: list[str], is_over: threading.Event) -> None:
    dice = Random()
    while not is_over.wait(dice.expovariate(_SAVES_A_S)):
        payer, payee = dice.sample(banks, 2)
        amount_minor = dice.randint(1, 99)
        outbox.save(
            user, PaymentRequest(new_payment_id(), f"{user}@{payer}", f"bank-0@{payee}", amount_minor, "INR")
        )


def _deliver_on(client: Client, outbox: Outbox, user: str, password: str, is_over: threading.Event) -> None:
    delivery = Delivery(outbox, client, user)
    never = threading.Event()
    is_logged_in = False
    gives_up_s = float("inf")
    while outbox.waiting(user) or not is_over.is_set():
        if is_over.is_set():
            gives_up_s = min(gives_up_s, time.monotonic() + _RESTS_WITHIN_S)
        if time.monotonic() > gives_up_s:
            return
        try:
            if not is_logged_in:
                client.log_in(user, password)
            is_logged_in = True
            delivery.deliver_all(until=never, patience_s=_PATIENCE_S)
        except (ClientError, Undelivered):
            is_logged_in = False
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
