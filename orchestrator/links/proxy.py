"""The program that all links of a test cluster lead through: ``python -m orchestrator.links.proxy``.

A child of the supervisor, which itself moves no bytes. It talks JSON lines with it: each
line that comes in has all faults that are active (``{"faults": [...]}``), so it can be
started again at any time and told the same. It says ``{"listening": true}`` once. At the
end of its input it ends, and every fault with it.
"""

import argparse
import asyncio
import json
import random
import sys

from orchestrator.links.addresses import Link
from orchestrator.links.faults import Fault
from orchestrator.links.relay import Relay


async def run_proxy(links: list[Link]) -> None:
    """Pass bytes along the links, as the lines of stdin say, until stdin ends."""
    relay = Relay(links, random.random)
    await relay.listen()
    sys.stdout.write(json.dumps({"listening": True}) + "\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        relay.set_faults(Fault.read(fault, loop.time()) for fault in json.loads(line)["faults"])


def main() -> None:
    """Run with ``--link DIALLER SERVER ADDRESS TARGET`` for each link."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.links.proxy", description=__doc__)
    parser.add_argument("--link", nargs=4, action="append", required=True, dest="links")
    flags = parser.parse_args()
    asyncio.run(run_proxy([Link(*words) for words in flags.links]))


if __name__ == "__main__":
    main()
