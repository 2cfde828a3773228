"""Connections through the proxy: bytes passed on unread, and whatever the faults say done to them.

Each direction of a connection (a `Lane`) passes bytes on at once, as long as nothing
concerns it and nothing waits. Otherwise packets wait in it, each until its time and in
order, and the end of the stream waits behind them: a partitioned peer must not hear
that the other side has died. TLS is between the two ends; the proxy has no key.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from orchestrator.links.addresses import Link
from orchestrator.links.faults import NO_EFFECT, Effect, Fault, combine

_WAITING_MAX_BYTES = 1024 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)
_END = b""
"""Waits in a lane behind the bytes, for the end of the stream."""

Roll = Callable[[], float]


class Lane:
    """One direction of a connection: what ``source`` sends to ``target``."""

    def __init__(self, source: str, target: str, roll: Roll, reset: Callable[[], None]) -> None:
        self.source, self.target = source, target
        self.sink: asyncio.Transport | None = None
        """Where it goes; none before the other side is connected."""
        self.origin: asyncio.Transport | None = None
        self._effect = NO_EFFECT
        self._roll = roll
        self._reset = reset
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._is_sink_full = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_s = 0.0

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes now."""
        return self._effect.is_cut

    def set_effect(self, effect: Effect) -> None:
        """Do this from now on; what waited only for a fault that has healed, passes."""
        if effect == self._effect:
            return
        self._effect = effect
        if effect.is_none:
            self._waiting = deque((0.0, packet) for _, packet in self._waiting)
        self.flush()

    def take(self, packet: bytes) -> None:
        """Pass bytes on, or the end of the stream (`_END`), now or when it is their time."""
        if self._effect.is_none and not self._waiting and self.sink is not None:
            self._pass(packet)
            return
        self._waiting.append((self._due_s(len(packet)), packet))
        self._waiting_bytes += len(packet)
        self.balance()
        self.flush()

    def flush(self) -> None:
        """Pass on all whose time has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self.sink is not None and not self._effect.is_cut:
            due_s, packet = self._waiting[0]
            if due_s > loop.time():
                self._timer = loop.call_at(due_s, self.flush)
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(packet)
            self._pass(packet)
        self.balance()

    def balance(self, is_sink_full: bool | None = None) -> None:
        """Have the origin read on, or not, by what waits here and at the sink."""
        if is_sink_full is not None:
            self._is_sink_full = is_sink_full
        if self.origin is None or self.origin.is_closing():
            return
        if self._is_sink_full or self._waiting_bytes > _WAITING_MAX_BYTES:
            self.origin.pause_reading()
        else:
            self.origin.resume_reading()

    def drop(self) -> None:
        """Forget what waits; the connection is over."""
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()

    def _due_s(self, size: int) -> float:
        now_s = asyncio.get_running_loop().time()
        rate_s = size / self._effect.bytes_per_s if self._effect.bytes_per_s else 0.0
        # TCP keeps the order: nothing overtakes what was sent before.
        self._last_s = max(now_s + self._effect.wait_s(self._roll), self._last_s) + rate_s
        return self._last_s

    def _pass(self, packet: bytes) -> None:
        assert self.sink is not None
        if self.sink.is_closing():
            return
        if packet is _END:
            self.sink.close()
        elif self._effect.is_reset:
            self.sink.write(packet[: len(packet) // 2])
            self._reset()
        else:
            self.sink.write(packet)


class Side(asyncio.Protocol):
    """One end of a connection: what it receives goes into ``outgoing``; ``incoming`` ends in it."""

    def __init__(self, outgoing: Lane, incoming: Lane, on_lost: Callable[[], None]) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport into both lanes."""
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._outgoing.origin = self._incoming.sink = transport
        self._outgoing.balance()
        self._incoming.flush()

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self._outgoing.take(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Have the other side hear of it, unless what this side sends is cut."""
        self._incoming.drop()
        self._outgoing.take(_END)
        self._on_lost()

    def pause_writing(self) -> None:
        """Stop reading at the other end."""
        self._incoming.balance(is_sink_full=True)

    def resume_writing(self) -> None:
        """Read on at the other end."""
        self._incoming.balance(is_sink_full=False)


class Connection:
    """One connection of a link, from the dialler's side on; both of its lanes and both of its ends."""

    def __init__(self, link: Link, roll: Roll, forget: Callable[["Connection"], None]) -> None:
        self._target = link.target
        self._forget = forget
        self.lanes = (
            Lane(link.dialler, link.server, roll, self.reset),
            Lane(link.server, link.dialler, roll, self.reset),
        )
        self._ends_lost = 0
        self._is_passable = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    def meet_dialler(self) -> Side:
        """Return the protocol of the dialler's side, and begin to connect to the other."""
        self._connecting = asyncio.get_running_loop().create_task(self._connect())
        return Side(self.lanes[0], self.lanes[1], self._note_lost)

    def set_effects(self, faults: Iterable[Fault]) -> None:
        """Do what the faults say from now on."""
        faults = list(faults)
        for lane in self.lanes:
            lane.set_effect(combine(faults, lane.source, lane.target))
        if self.lanes[0].is_cut:
            self._is_passable.clear()
        else:
            self._is_passable.set()

    def reset(self) -> None:
        """End the connection as a router does that has forgotten it: both sides see a reset."""
        for lane in self.lanes:
            lane.drop()
            if lane.sink is not None and not lane.sink.is_closing():
                lane.sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                lane.sink.abort()

    async def _connect(self) -> None:
        # As a lost SYN does: nobody is called while the way there is cut.
        await self._is_passable.wait()
        host, _, port = self._target.rpartition(":")
        forth, back = self.lanes
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Side(back, forth, self._note_lost), host.strip("[]"), int(port)
            )
        except OSError:
            self.reset()
            self._forget(self)

    def _note_lost(self) -> None:
        self._ends_lost += 1
        if self._ends_lost == len(self.lanes):
            self._forget(self)
        elif self.lanes[0].sink is None and self._connecting is not None:
            # The dialler has given up before anybody was reached.
            self._connecting.cancel()
            self._forget(self)


class Relay:
    """All links: listens at each, and keeps the faults of all connections, those to come included."""

    def __init__(self, links: Iterable[Link], roll: Roll) -> None:
        self._links = tuple(links)
        self._roll = roll
        self._faults: list[Fault] = []
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self) -> None:
        """Listen at the address of every link; raises OSError when one is taken."""
        for link in self._links:
            host, _, port = link.address.rpartition(":")
            loop = asyncio.get_running_loop()
            accept = partial(self._accept, link)
            self._servers.append(await loop.create_server(accept, host, int(port)))

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; each heals by itself when its time is over, whether or not somebody says so."""
        self._faults = list(faults)
        self._apply()

    def close(self) -> None:
        """End all connections and listen no more."""
        self.set_faults(())
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.reset()

    def _accept(self, link: Link) -> Side:
        connection = Connection(link, self._roll, self.connections.discard)
        self.connections.add(connection)
        connection.set_effects(self._faults)
        return connection.meet_dialler()

    def _apply(self) -> None:
        loop = asyncio.get_running_loop()
        self._faults = [fault for fault in self._faults if fault.ends_at_s > loop.time()]
        if self._timer is not None:
            self._timer.cancel()
        if self._faults:
            self._timer = loop.call_at(min(fault.ends_at_s for fault in self._faults), self._apply)
        for connection in list(self.connections):
            connection.set_effects(self._faults)
