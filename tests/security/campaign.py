"""How much each flood slows a well-behaved client: ``make floods`` (FOR=seconds each).

One client pays at a steady pace. Calm and flooded spells take turns, since machines have
moods; the flood runs in a process of its own. Printed are the 50th and 99th percentile
of both, and their ratio: below 2 is the goal at the 99th. Exit code 1 if one is above
the bound; every payment must commit, however often it is sent.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import uuid_utils
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.tls import dial, load_tls
from tests.running_nodes import RunningNodes
from tests.security.floods import FLOODS, Target, command
from tests.security.site import Site

_PAYMENTS_EACH_S = 50
_SENT_AGAIN = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""What says nothing about a payment."""


async def pay_steadily(nodes: RunningNodes, token: str, for_s: float) -> list[float]:
    """Pay at a steady pace, whatever comes back; return how long each took in ms, sorted."""
    tls = load_tls(nodes.client_files, kind=PeerKind.CLIENT)
    gateway = nodes.authority.identity(PeerKind.GATEWAY)
    async with dial(nodes.addresses["gateway"], tls, gateway) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        await channel.channel_ready()
        begins, paying = time.perf_counter(), []
        for number in range(int(for_s * _PAYMENTS_EACH_S)):
            await asyncio.sleep(max(0.0, begins + number / _PAYMENTS_EACH_S - time.perf_counter()))
            paying.append(asyncio.create_task(_pay(stub, token)))
        return sorted(await asyncio.gather(*paying))


async def _pay(stub: "payment_pb2_grpc.PaymentServiceAsyncStub", token: str) -> float:
    """Pay, and send the same again as the client library does, until it is known how it ended."""
    request = payment_pb2.PayRequest(
        payment_id=str(uuid_utils.uuid7()),
        payer_account="alice@ICICI",
        payee_account="bob@HDFC",
        amount_minor=1,
        currency="INR",
    )
    begins = time.perf_counter()
    while True:
        try:
            answer = await stub.Pay(request, timeout=30, metadata=[("authorization", f"Bearer {token}")])
        except grpc.aio.AioRpcError as error:
            if error.code() not in _SENT_AGAIN:
                raise
        else:
            assert answer.outcome == payment_pb2.OUTCOME_COMMITTED
            return (time.perf_counter() - begins) * 1000


@contextmanager
def flooding(name: str, count: int, target: Target) -> Iterator[None]:
    """Flood from a process of its own."""
    flooder = subprocess.Popen(
        command(name, count, target), stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ".:proto"}
    )
    try:
        time.sleep(1.0)
        yield
        assert flooder.poll() is None, f"the flood of {name} ended by itself"
    finally:
        flooder.send_signal(signal.SIGKILL)
        flooder.wait()


def measure(nodes: RunningNodes, name: str, count: int, for_s: float) -> float:
    """Print one line; return the ratio of the 99th percentiles."""
    site = Site(nodes)
    host, port = site.host_and_port("gateway")
    files = site.leaf(PeerKind.CLIENT, name.replace(", ", "-").replace(" ", "-"))
    target = Target(
        host, port, site.peer("gateway").tls_name, str(files.ca), str(files.certificate), str(files.key)
    )
    calm: list[float] = []
    flooded: list[float] = []
    for _ in range(2):
        calm += asyncio.run(pay_steadily(nodes, site.token(), for_s / 2))
        with flooding(name, count, target):
            flooded += asyncio.run(pay_steadily(nodes, site.token(), for_s / 2))
    site.close()
    (calm_50, calm_99), (flooded_50, flooded_99) = map(_percentiles, (sorted(calm), sorted(flooded)))
    print(
        f"{name:24} calm {calm_50:6.1f} {calm_99:6.1f} ms   flooded {flooded_50:6.1f} {flooded_99:6.1f} ms"
        f"   ratio {flooded_50 / calm_50:4.1f} {flooded_99 / calm_99:4.1f}",
        flush=True,
    )
    return flooded_99 / calm_99


def _percentiles(ordered: list[float]) -> tuple[float, float]:
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description="Measure how much each flood slows a well-behaved client.")
    parser.add_argument("--for", dest="for_s", type=float, default=20.0, help="seconds of each flood (20)")
    parser.add_argument("--bound", type=float, default=2.0, help="largest ratio of the 99th percentiles (2)")
    parser.add_argument("floods", nargs="*", default=[], help="which floods; all if none is named")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nodes = RunningNodes(Path(folder))
        try:
            nodes.start()
            print(f"{'':24} 50 % and 99 % of {_PAYMENTS_EACH_S} payments a second", flush=True)
            ratios = {
                name: measure(nodes, name, count, flags.for_s)
                for name, (_, count, _) in FLOODS.items()
                if not flags.floods or name in flags.floods
            }
        finally:
            nodes.stop()
    beyond = [name for name, ratio in ratios.items() if ratio > flags.bound]
    if beyond:
        print(f"beyond {flags.bound:g}: {', '.join(beyond)}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
