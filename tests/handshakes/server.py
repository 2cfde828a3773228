"""The server of a storm: ``python -m tests.handshakes.server CA CERTIFICATE KEY``; prints its port."""

import asyncio
import sys
from pathlib import Path

from nodes.core.names import PeerKind
from nodes.runtime.event_log import open_event_log
from nodes.runtime.file_watch import FileWatch
from nodes.runtime.live_tls import LiveTls
from nodes.runtime.server import NodeServer
from nodes.runtime.tls import TlsFiles, load_tls

_LOOK_EVERY_S = 0.01


async def serve(files: TlsFiles) -> None:
    log = open_event_log(files.ca.with_name("server.log"), "gateway")
    live = LiveTls(load_tls(files, kind=PeerKind.GATEWAY), log)
    watch = FileWatch(lambda fault: log.warning("file_unusable", fault=fault))
    live.watch(watch)
    server = NodeServer("localhost:0", live.current, log)
    live.on_change(server.renew)
    await server.start()
    print(server.port, flush=True)
    while True:
        # Far more often than a node does, so that each replacement is met.
        await asyncio.sleep(_LOOK_EVERY_S)
        watch.look()


if __name__ == "__main__":
    asyncio.run(serve(TlsFiles(*map(Path, sys.argv[1:]))))
