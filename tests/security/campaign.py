"""How much each flood slows a well-behaved client: ``make floods`` (FOR=seconds each).

One client pays at a steady pace. Calm and flooded spells take turns, since machines have
moods; the flood runs in a process of its own. What such a process costs others merely by using
the same processors is told by a third kind of spell: beside it runs one that uses as much of a processor
as the flooder did, at the same priority, and touches nobody. Printed are the 50th and 99th percentile
of all three, and the ratio of flooded to calm: below 2 is the goal at the 99th. Exit code 1 if one is above
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
from pathlib import Path

import grpc
import psutil
import uuid_utils
from interbank.v1 import payment_pb2, payment_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.tls import dial, load_tls
from tests.running_nodes import RunningNodes
from tests.security.floods import FLOODS, Target, burning, command
from tests.security.site import Site

_PAYMENTS_EACH_S = 50
_SENT_AGAIN = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""What says nothing about a payment."""


async def pay_steadily(nodes: RunningNodes, token: str, for_s: float) -> list[float]:
    """Pay at a steady pace, whatever comes back; return how long each took in ms."""
    tls = load_tls(nodes.client_files, kind=PeerKind.CLIENT)
    gateway = nodes.authority.identity(PeerKind.GATEWAY)
    async with dial(nodes.addresses["gateway"], tls, gateway) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        await channel.channel_ready()
        begins, paying = time.perf_counter(), []
        for number in range(int(for_s * _PAYMENTS_EACH_S)):
            await asyncio.sleep(max(0.0, begins + number / _PAYMENTS_EACH_S - time.perf_counter()))
            paying.append(asyncio.create_task(_pay(stub, token)))
        return await asyncio.gather(*paying)


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
            assert answer.outcome == payment_pb2.OUTCOME_COMMITTED, answer
            return (time.perf_counter() - begins) * 1000


class Rival:
    """A process that runs beside the client that pays, at the lowest priority; killed in the end."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ".:proto"}
        )
        self.share = 0.0
        """How much of a processor it used."""

    def __enter__(self) -> "Rival":
        time.sleep(1.0)
        self._began_s, self._used_s = time.perf_counter(), self._processor_s()
        return self

    def __exit__(self, *_: object) -> None:
        has_ended = self._process.poll() is not None
        if not has_ended:
            self.share = (self._processor_s() - self._used_s) / (time.perf_counter() - self._began_s)
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert not has_ended, f"{self._process.args} ended by itself"

    def _processor_s(self) -> float:
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)


def measure(nodes: RunningNodes, name: str, count: int, for_s: float) -> float:
    """Print one line; return the ratio of the 99th percentiles, flooded to calm."""
    site = Site(nodes)
    host, port = site.host_and_port("gateway")
    files = site.leaf(PeerKind.CLIENT, name.replace(", ", "-").replace(" ", "-"))
    target = Target(
        host, port, site.peer("gateway").tls_name, str(files.ca), str(files.certificate), str(files.key)
    )
    calm: list[float] = []
    flooded: list[float] = []
    beside: list[float] = []
    for _ in range(2):
        calm += asyncio.run(pay_steadily(nodes, site.token(), for_s / 2))
        with Rival(command(name, count, target)) as flooder:
            flooded += asyncio.run(pay_steadily(nodes, site.token(), for_s / 2))
        with Rival(burning(flooder.share)):
            beside += asyncio.run(pay_steadily(nodes, site.token(), for_s / 2))
    site.close()
    (calm_50, calm_99), (flooded_50, flooded_99) = _percentiles(calm), _percentiles(flooded)
    print(
        f"{name:21} {_show(calm)} {_show(beside)} {_show(flooded)}"
        f" {flooded_50 / calm_50:6.1f} {flooded_99 / calm_99:6.1f}",
        flush=True,
    )
    return flooded_99 / calm_99


def _percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def _show(times: list[float]) -> str:
    return "{:7.1f} {:7.1f}".format(*_percentiles(times))


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
            print(
                f"of {_PAYMENTS_EACH_S} payments a second, 50 % and 99 % within so many ms\n"
                f"{'':21} {'calm':>15} {'processor used':>15} {'flooded':>15} {'flooded / calm':>13}",
                flush=True,
            )
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
