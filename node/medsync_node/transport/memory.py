"""The transport without a network, for tests in one process: ordered links with latency, partitions and lost links.

Runs on trio's clock only, so a MockClock makes it virtual. Whole-system simulation is medsync_sim's, not this.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from medsync_node.transport.events import EVENT_OVERHEAD, MAX_UNREAD_BYTES, EventQueue
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import (
    MAX_GUEST_FRAME,
    MAX_LINK_FRAME,
    Connected,
    Disconnected,
    FrameReceived,
    GossipReceived,
    GuestHandler,
    Standing,
    Unreachable,
)

REDIAL_SECONDS: Final = 0.25  # virtual; how soon wanted links are tried again
_SCHEME: Final = "/memory/"


class MemoryNetwork:
    """All transports of one test. `latency` in seconds one way, `hint_loss` the share of hints lost, from `seed`."""

    def __init__(self, *, latency: float = 0.0, hint_loss: float = 0.0, seed: int = 0) -> None:
        self.latency = latency
        self.hint_loss = hint_loss
        self.random = random.Random(seed)
        self.transports: dict[DeviceId, MemoryTransport] = {}
        self._groups: dict[DeviceId, int] = {}

    @asynccontextmanager
    async def open(self, device: DeviceId) -> AsyncIterator[MemoryTransport]:
        """A device on this network until the block ends; then its links are gone, as after a crash."""
        async with trio.open_nursery() as nursery:
            transport = MemoryTransport(self, device, nursery)
            self.transports[device] = transport
            nursery.start_soon(transport.redial)
            try:
                yield transport
            finally:
                del self.transports[device]
                transport.close_links("the peer stopped")
                nursery.cancel_scope.cancel()

    def partition(self, *groups: Iterable[DeviceId]) -> None:
        """Only devices of one group reach each other; links between groups break. Unnamed ones are a group."""
        self._groups = {device: number for number, group in enumerate(groups) for device in group}
        for transport in list(self.transports.values()):
            for peer in list(transport.linked()):
                if not self.reachable(transport.device, peer):
                    transport.cut(peer, "partitioned")

    def heal(self) -> None:
        """Everyone reaches everyone; links come back by redialling."""
        self._groups = {}

    def reachable(self, one: DeviceId, other: DeviceId) -> bool:
        """Whether a partition lies between them."""
        return other in self.transports and self._groups.get(one, -1) == self._groups.get(other, -1)


class _End:
    """One side's outgoing half of a link, and the charge for what its peer has not taken."""

    def __init__(self, network: MemoryNetwork, target: MemoryTransport, sender: DeviceId) -> None:
        self.target = target
        self.backlog = 0
        self.lot = trio.lowlevel.ParkingLot()
        self.scope = trio.CancelScope()
        self._network = network
        self._sender = sender
        self._queue: deque[tuple[float, bytes]] = deque()
        self._wake = trio.Event()
        self._unread = 0

    def put(self, frame: bytes) -> None:
        self._queue.append((trio.current_time() + self._network.latency, frame))
        self.backlog += len(frame)
        self._wake.set()

    async def deliver(self) -> None:
        with self.scope:
            while True:
                while not self._queue or self._unread >= MAX_UNREAD_BYTES:
                    self._wake = trio.Event()
                    await self._wake.wait()
                due, frame = self._queue.popleft()
                await trio.sleep_until(due)
                charge = len(frame) + EVENT_OVERHEAD
                self._unread += charge
                self.backlog -= len(frame)
                self.target.queue.put(FrameReceived(self._sender, frame), charge, self)
                self.lot.unpark_all()

    def taken(self, size: int) -> None:
        self._unread -= size
        self._wake.set()

    def answer_ping(self) -> None:
        return


class MemoryTransport:
    """One device on a MemoryNetwork; see ports.Transport."""

    def __init__(self, network: MemoryNetwork, device: DeviceId, nursery: trio.Nursery) -> None:
        self.device = device
        self.addresses: tuple[str, ...] = (f"{_SCHEME}{device.hex()}",)
        self.queue = EventQueue()
        self.standing: Callable[[DeviceId], Standing] = lambda _: Standing.GUEST
        self.handler: GuestHandler | None = None
        self.topics: frozenset[bytes] = frozenset()
        self._network = network
        self._nursery = nursery
        self._wanted: dict[DeviceId, tuple[str, ...]] = {}
        self._ends: dict[DeviceId, _End] = {}

    # what the driver calls

    def events(self) -> EventQueue:
        """The one stream of events."""
        return self.queue

    def send(self, peer: DeviceId, frame: bytes) -> bool:
        """Queue a frame; False without a link."""
        if len(frame) > MAX_LINK_FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_LINK_FRAME}")
        if (end := self._ends.get(peer)) is None:
            return False
        end.put(frame)
        return True

    def linked(self) -> frozenset[DeviceId]:
        """Peers with a link now."""
        return frozenset(self._ends)

    def backlog(self, peer: DeviceId) -> int:
        """Bytes queued and not yet delivered."""
        end = self._ends.get(peer)
        return 0 if end is None else end.backlog

    async def drained(self, peer: DeviceId, below: int) -> None:
        """Return when the backlog is under `below` bytes or the link is gone."""
        end = self._ends.get(peer)
        while end is not None and end is self._ends.get(peer) and end.backlog >= below:
            await end.lot.park()

    async def ask(self, address: str, protocol: str, frame: bytes) -> bytes:
        """One question and its answer. Raises Unreachable."""
        if len(frame) > MAX_GUEST_FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_GUEST_FRAME}")
        await trio.sleep(self._network.latency)
        device = DeviceId(bytes.fromhex(address.removeprefix(_SCHEME)))
        target = self._network.transports.get(device)
        if target is None or target.handler is None or not self._network.reachable(self.device, device):
            raise Unreachable(f"nobody answers at {address}")
        if target.standing(self.device) is Standing.REFUSED:
            raise Unreachable("the door was closed without an answer")
        answer = await target.handler(self.device, protocol, frame)
        await trio.sleep(self._network.latency)
        return answer

    def set_standing(self, standing: Callable[[DeviceId], Standing]) -> None:
        """Who may do what."""
        self.standing = standing

    def set_guest_handler(self, handler: GuestHandler) -> None:
        """Who answers guests."""
        self.handler = handler

    def set_peers(self, peers: Mapping[DeviceId, Sequence[str]]) -> None:
        """Devices to keep links to."""
        self._wanted = {peer: tuple(addresses) for peer, addresses in peers.items() if peer != self.device}
        self._dial_wanted()

    async def expel(self, peer: DeviceId) -> None:
        """Hand over what is queued, then cut the link; its changed standing keeps it out."""
        self._wanted.pop(peer, None)
        await self.drained(peer, 1)
        self.cut(peer, "expelled")

    def publish(self, topic: bytes, frame: bytes) -> None:
        """Hints to every linked member with the topic, except those the network loses."""
        for peer in sorted(self._ends):
            target = self._network.transports[peer]
            lost = self._network.random.random() < self._network.hint_loss
            if not lost and topic in target.topics and target.standing(self.device) is Standing.MEMBER:
                target.queue.put(GossipReceived(topic, frame, self.device))

    def set_topics(self, topics: frozenset[bytes]) -> None:
        """Exactly these topics from now on."""
        self.topics = topics

    def troubles(self) -> Mapping[DeviceId, str]:
        """Why there is no link, per wanted peer."""
        return {peer: "unreachable" for peer in self._wanted if peer not in self._ends}

    # links

    async def redial(self) -> None:
        """Try wanted links again, for ever."""
        while True:
            await trio.sleep(REDIAL_SECONDS)
            self._dial_wanted()

    def _dial_wanted(self) -> None:
        for peer in sorted(self._wanted.keys() - self._ends.keys()):
            target = self._network.transports.get(peer)
            if target is None or not self._network.reachable(self.device, peer):
                continue
            if self.standing(peer) is Standing.MEMBER is target.standing(self.device):
                target.enter(self, outbound=False)
                self.enter(target, outbound=True)

    def enter(self, target: MemoryTransport, *, outbound: bool) -> None:
        """This side of a new link."""
        end = _End(self._network, target, self.device)
        self._ends[target.device] = end
        self._nursery.start_soon(end.deliver)
        self.queue.put(Connected(target.device, outbound))

    def cut(self, peer: DeviceId, reason: str) -> None:
        """Lose the link to a peer, with what is on its way; both sides are told."""
        for side, other in ((self, peer), (self._network.transports.get(peer), self.device)):
            if side is not None and (end := side._ends.pop(other, None)) is not None:
                end.scope.cancel()
                end.lot.unpark_all()
                side.queue.put(Disconnected(other, reason))

    def close_links(self, reason: str) -> None:
        """Lose every link."""
        for peer in list(self._ends):
            self.cut(peer, reason)
