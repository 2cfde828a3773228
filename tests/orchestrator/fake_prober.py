"""The prober without gRPC: asks fake nodes over plain TCP."""

import asyncio
import json
import sys
from typing import Any

from orchestrator.supervision.probing import Unreachable, run_prober


class TcpAsker:
    def __init__(self, order: dict[str, Any]) -> None:
        self._host, _, port = order["address"].rpartition(":")
        self._port = int(port)

    async def ask(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(0.3):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    line = await reader.readline()
                finally:
                    writer.close()
            answer: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            raise Unreachable(repr(error)) from error
        return answer

    async def close(self) -> None:
        pass


if __name__ == "__main__":
    asyncio.run(run_prober(TcpAsker, float(sys.argv[1])))
