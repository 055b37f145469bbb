"""The transport over libp2p: puts gate, links, redialling, guests and gossip together (DESIGN §5, LIBP2P).

Importing this costs seconds of CPU: only `medsync_node.transport.open_libp2p` does.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import IOException
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from multiaddr import Multiaddr

from medsync_node.transport import host as hosts
from medsync_node.transport.containment import Containment
from medsync_node.transport.events import EventQueue
from medsync_node.transport.gate import GUEST_SECONDS, Gate
from medsync_node.transport.gossip import Hints
from medsync_node.transport.guests import GuestDoor, put_question
from medsync_node.transport.lean_yamux import LeanYamux
from medsync_node.transport.link import LINK_PROTOCOL, Link
from medsync_node.transport.links import LinkTable
from medsync_node.transport.peer_ids import device_id, full_address, parse_address, peer_id
from medsync_node.transport.resolving import resolved
from medsync_node.transport.redial import Redialer
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import GUEST_PROTOCOLS, MAX_GUEST_FRAME, GuestHandler, Standing, Unreachable

CHECK_LINKS_EVERY: Final = 5.0  # seconds between looks for quiet and stuck peers
HANDOVER_SECONDS: Final = 5.0  # an expelled peer may take this long to read why
NEGOTIATION_SECONDS: Final = 5  # two round trips to agree on a protocol

_BROKEN: Final = (
    BaseLibp2pError,
    IOException,
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


def _reason(error: BaseException) -> str:
    """What the system said, below what the library makes of it: `Connection refused`."""
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    if inner is not None:
        return _reason(inner)
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error) or type(error).__name__


class Libp2pTransport:
    """One device on a real network; see ports.Transport."""

    def __init__(
        self, host: hosts.QuietHost, swarm: Swarm, nursery: trio.Nursery, jitter: Callable[[], float]
    ) -> None:
        device = device_id(host.get_id())
        assert device is not None
        self.device: DeviceId = device
        self.addresses: tuple[str, ...] = ()
        self.swarm = swarm
        self.stopped = trio.Event()
        self._host = host
        self._nursery = nursery
        self._queue = EventQueue()
        self.gate = Gate(nursery)
        self.containment = Containment(self.gate)
        self._door = GuestDoor()
        self.hints = Hints(host, self._queue, self.gate, self.containment)
        self._redialer = Redialer(
            device,
            nursery,
            dial=self._dial,
            jitter=jitter,
            linked=lambda peer: self._links.get(peer) is not None,
        )
        self._links = LinkTable(device, self._queue, self._redialer.nudge)

    def install(self) -> None:
        """Put the gate, the containment and the handlers in place, before the host runs."""
        self.gate.install(self.swarm)
        self.containment.install(self.swarm)
        self._host.set_stream_handler(LINK_PROTOCOL, self._accept_link)  # type: ignore[arg-type]
        for protocol in GUEST_PROTOCOLS:
            handler = functools.partial(self._door.handle, protocol)
            self._host.set_stream_handler(protocol, handler)  # type: ignore[arg-type]

    # what the driver calls

    def events(self) -> EventQueue:
        """The one stream of events."""
        return self._queue

    def send(self, peer: DeviceId, frame: bytes) -> bool:
        """Queue a frame; see ports.Transport."""
        link = self._links.get(peer)
        return link is not None and link.send(frame)

    def linked(self) -> frozenset[DeviceId]:
        """Peers with a link now."""
        return self._links.peers()

    def backlog(self, peer: DeviceId) -> int:
        """Bytes queued and not yet written."""
        link = self._links.get(peer)
        return 0 if link is None else link.backlog

    async def drained(self, peer: DeviceId, below: int) -> None:
        """Return when the backlog is under `below` bytes or the link is gone."""
        if (link := self._links.get(peer)) is not None:
            await link.drained(below)

    async def ask(self, address: str, protocol: str, frame: bytes) -> bytes:
        """One question and its answer, over a connection of its own. Raises Unreachable."""
        if len(frame) > MAX_GUEST_FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_GUEST_FRAME}")
        where, device = parse_address(address)
        try:
            with self.gate.asking(device), trio.move_on_after(GUEST_SECONDS):
                connection = await self._connect(where, device)
                try:
                    return await put_question(await self._open(connection, protocol), frame)
                finally:
                    await self._discard(connection)
        finally:
            if self._links.get(device) is not None:
                self.hints.greet(device)
        raise Unreachable(f"no answer from {address} within {GUEST_SECONDS:.0f} s")

    def set_standing(self, standing: Callable[[DeviceId], Standing]) -> None:
        """Who may do what."""
        self.gate.standing = standing

    def set_guest_handler(self, handler: GuestHandler) -> None:
        """Who answers guests."""
        self._door.handler = handler

    def set_peers(self, peers: Mapping[DeviceId, Sequence[str]]) -> None:
        """Devices to keep links to."""
        self._redialer.set_peers(peers)

    async def expel(self, peer: DeviceId) -> None:
        """Hand over, close, then keep out: in this order, or the peer stays in the mesh (LIBP2P)."""
        self._redialer.forget(peer)
        if (link := self._links.get(peer)) is not None:
            with trio.move_on_after(HANDOVER_SECONDS):
                await link.flushed()
            link.close("expelled")
        await self.swarm.close_peer(peer_id(peer))
        self.hints.banish(peer)
        self.swarm.peerstore.clear_addrs(peer_id(peer))

    def publish(self, topic: bytes, frame: bytes) -> None:
        """Queue a hint."""
        self.hints.publish(topic, frame)

    def set_topics(self, topics: frozenset[bytes]) -> None:
        """Exactly these topics from now on."""
        self.hints.set_topics(topics)

    def troubles(self) -> Mapping[DeviceId, str]:
        """Why there is no link, per peer."""
        return dict(self._redialer.troubles)

    # connections and links

    async def _connect(self, address: Multiaddr, device: DeviceId) -> SwarmConn:
        """Dial one address, without libp2p's negative cache and its pause of 0.25 s. Raises Unreachable."""
        reasons = []
        for one in await resolved(address):
            try:
                connection = await self.swarm.dial_addr(one, peer_id(device))
            except _BROKEN as error:
                reasons.append(f"{str(one).partition('/p2p/')[0]}: {_reason(error)}")
                continue
            assert isinstance(connection, SwarmConn)
            return connection
        raise Unreachable("; ".join(reasons))

    async def _open(self, connection: SwarmConn, protocol: str) -> Any:
        """A stream on this connection that speaks the protocol. Raises Unreachable."""
        try:
            stream = await connection.new_stream()
            await self._host.multiselect_client.select_one_of(
                [protocol],  # type: ignore[list-item]
                MultiselectCommunicator(stream),
                NEGOTIATION_SECONDS,
            )
        except (MultiselectError, MultiselectClientError) as error:
            raise Unreachable(f"the peer does not speak {protocol} with us") from error
        except _BROKEN as error:
            raise Unreachable("the peer closed the connection after the handshake") from error
        return stream

    async def _discard(self, connection: SwarmConn) -> None:
        with trio.move_on_after(hosts.CLOSING_SECONDS) as scope:
            scope.shield = True
            await connection.close()

    def _new_link(self, peer: DeviceId, stream: Any, *, outbound: bool) -> Link:
        muxed = stream.muxed_stream
        assert isinstance(muxed.conn, LeanYamux)
        link = Link(peer, outbound=outbound, queue=self._queue, closed=self._links.closed)
        link.attach(muxed.conn.adopt(muxed, link))
        return link

    async def _dial(self, peer: DeviceId, address: str) -> None:
        where, named = parse_address(address)
        if named != peer:
            raise Unreachable(f"{address} names another device")
        connection = await self._connect(where, peer)
        try:
            link = self._new_link(peer, await self._open(connection, LINK_PROTOCOL), outbound=True)
            await link.accepted.wait()
            if link.ended is not None or not self._links.offer(link):
                raise Unreachable(f"{address}: {link.ended}")
        except BaseException:
            await self._discard(connection)
            raise

    async def _accept_link(self, stream: Any) -> None:
        peer = device_id(stream.muxed_conn.peer_id)
        if peer is None or self.gate.standing(peer) is not Standing.MEMBER:
            await stream.reset()
            return
        link = self._new_link(peer, stream, outbound=False)
        if self._links.offer(link):
            link.accept()
            await link.over.wait()

    async def watch_links(self) -> None:
        """Ping quiet peers and close stuck ones, for ever."""
        while True:
            await trio.sleep(CHECK_LINKS_EVERY)
            now = trio.current_time()
            for link in self._links.all():
                link.check(now)

    def close_links(self) -> None:
        """End every link, at once."""
        for link in self._links.all():
            link.close("this node stops")


@asynccontextmanager
async def running(
    *, device_seed: bytes, listen: Sequence[str], jitter: Callable[[], float] = random.random
) -> AsyncIterator[Libp2pTransport]:
    """A transport that listens; everything it started ends with the block. Raises AddressUnusable.

    The host lives in a task of its own, so that the block's exceptions pass neither through libp2p's nurseries,
    which would wrap them in groups, nor into them.
    """
    body: BaseException | None = None
    failed: hosts.AddressUnusable | None = None
    async with trio.open_nursery() as nursery:
        host, swarm = hosts.build(device_seed)
        transport = Libp2pTransport(host, swarm, nursery, jitter)
        transport.install()
        stop = trio.Event()
        failed = await nursery.start(_serve, transport, host, listen, stop)
        if failed is None:
            try:
                yield transport
            except trio.Cancelled:
                raise
            except BaseException as error:  # carried around the nursery, which would wrap it
                body = error
        transport.close_links()
        stop.set()
        await transport.stopped.wait()
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if body is not None:
        raise body


async def _serve(
    transport: Libp2pTransport,
    host: hosts.QuietHost,
    listen: Sequence[str],
    stop: trio.Event,
    *,
    task_status: Any,
) -> None:
    """Run the host until told to stop; reports an unusable address instead of raising it into the nursery."""
    try:
        async with (
            hosts.running(host, transport.swarm, listen) as bound,
            trio.open_nursery() as nursery,
            transport.hints.running(nursery),
        ):
            transport.addresses = tuple(full_address(address, transport.device) for address in bound)
            nursery.start_soon(transport.watch_links)
            task_status.started(None)
            await stop.wait()
            nursery.cancel_scope.cancel()
    except* hosts.AddressUnusable as group:
        task_status.started(next(error for error in _leaves(group)))
    finally:
        transport.stopped.set()


def _leaves(group: BaseExceptionGroup[hosts.AddressUnusable]) -> list[hosts.AddressUnusable]:
    found: list[hosts.AddressUnusable] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
