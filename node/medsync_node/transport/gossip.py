"""Hints by GossipSub, configured and contained as LIBP2P.md says: paced, never relied on, members only.

What a hint means, and its sealing, is the engine's; frames and topics are opaque bytes here.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from libp2p.abc import IHost
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from medsync_node.transport.containment import Containment
from medsync_node.transport.events import EVENT_OVERHEAD, EventQueue
from medsync_node.transport.gate import Gate
from medsync_node.transport.peer_ids import device_id, peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import GossipReceived, Standing

PROTOCOL: Final = TProtocol("/meshsub/1.1.0")  # 1.2 sends an IDONTWANT per message: 9.0 ms CPU against 4.8
MAX_HINT_BYTES: Final = 256 * 1024  # a message near 1 MiB vanishes without a word
HINTS_PER_SECOND: Final = 20  # libp2p's queues of 32 overflow silently above about 50
MAX_QUEUED_HINTS: Final = 64  # waiting to be published; more are dropped, for sync repairs
MAX_UNREAD_HINTS: Final = 1 << 20  # bytes waiting for the driver; more are dropped, for sync repairs
MAX_TOPICS: Final = 1024  # a peer may subscribe to: two per context it shares with us


class _Router(GossipSub):
    """GossipSub for tens of members that know each other: no scores, no spam limits of its own."""

    def __init__(self) -> None:
        super().__init__(
            protocols=[PROTOCOL],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            time_to_live=60,
            gossip_window=3,
            gossip_history=5,
            prune_back_off=10,
            spam_protection_enabled=False,
            adaptive_gossip_enabled=False,
            eclipse_protection_enabled=False,
        )


class _MembersPubsub(Pubsub):
    """Pubsub that speaks to members only and hands every message over at once."""

    def __init__(
        self, host: IHost, router: _Router, hints: Hints, gate: Gate, containment: Containment
    ) -> None:
        super().__init__(
            host, router, max_subscriptions_per_peer=MAX_TOPICS, max_inbound_rpc_size=2 * MAX_HINT_BYTES
        )
        self.counter = time.time_ns()  # seconds would repeat after a restart, and the identity be mute
        self._hints = hints
        self._gate = gate
        self._containment = containment
        self._heard: Counter[ID] = Counter()  # gossip streams that we read now

    def _is_member(self, peer: ID) -> bool:
        device = device_id(peer)
        return device is not None and self._gate.standing(device) is Standing.MEMBER

    def _is_asked(self, peer: ID) -> bool:
        """Whether we put it a question now: as its guest we may have one stream, which is the question's."""
        device = device_id(peer)
        return device is not None and self._gate.is_asking(device)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        if self._is_member(peer_id) and not self._is_asked(peer_id):
            self.remove_from_blacklist(peer_id)  # expelled once, admitted again
            known = set(self.topic_ids)
            await super()._handle_new_peer(peer_id)
            self._announce_changes(peer_id, known)

    def _announce_changes(self, peer_id: ID, known: set[str]) -> None:
        """Tell a new peer of topics that changed while its stream was opening: its hello was older, or never told."""
        if (queue := self.peer_queues.get(peer_id)) is not None:
            for topic in known ^ set(self.topic_ids):
                announcement, _ = self._build_announce_rpc(topic, subscribe=topic in self.topic_ids)
                queue.push(announcement)

    async def stream_handler(self, stream: Any) -> None:
        peer = stream.muxed_conn.peer_id
        if not self._is_member(peer):
            await stream.reset()
            return
        self._heard[peer] += 1
        try:
            await super().stream_handler(stream)
        finally:
            self._heard[peer] -= 1
            if not self._heard[peer]:
                del self._heard[peer]
                self._forget_all_subscriptions(peer)

    def _forget_all_subscriptions(self, peer_id: ID) -> None:
        """A peer's topics are those of the streams on which we hear it: a restarted one has told us before we forget."""
        if peer_id not in self._heard:
            super()._forget_all_subscriptions(peer_id)

    async def handle_dead_peer_queue(self) -> None:
        """A gossip stream dies with its connection; the stock one would write to it while the peer has another."""
        async with self.dead_peer_receive_channel:
            self.event_handle_dead_peer_queue_started.set()
            async for peer in self.dead_peer_receive_channel:
                stream: Any = self.peers.get(peer)
                if stream is None or stream.muxed_conn.is_closed:
                    self._handle_dead_peer(peer)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        if msg_forwarder == self.my_id:
            await super().push_msg(msg_forwarder, msg)
        elif self._is_member(msg_forwarder) and self._is_member(ID(msg.from_id)):
            await self._containment.push(device_id(msg_forwarder), super().push_msg, msg_forwarder, msg)

    def notify_subscriptions(self, publish_message: rpc_pb2.Message) -> None:
        if ID(publish_message.from_id) != self.my_id:
            self._hints.deliver(publish_message)


class Hints:
    """Publishing and receiving hints for one host."""

    def __init__(self, host: IHost, queue: EventQueue, gate: Gate, containment: Containment) -> None:
        self.dropped = 0
        self._router = _Router()
        self.pubsub = _MembersPubsub(host, self._router, self, gate, containment)
        self._host = host
        self._queue = queue
        self._outgoing: deque[tuple[bytes, bytes]] = deque()
        self._wake = trio.Event()
        self._topics: frozenset[bytes] = frozenset()
        self._changed = trio.Event()
        self._unread = 0

    @asynccontextmanager
    async def running(self, nursery: trio.Nursery) -> AsyncIterator[None]:
        """Pubsub and its router, started, and stopped with their thread."""
        try:
            async with background_trio_service(self.pubsub), background_trio_service(self._router):
                await self.pubsub.wait_until_ready()
                nursery.start_soon(self._publish_paced)
                nursery.start_soon(self._follow_topics)
                yield
        finally:
            self.pubsub.seen_messages.stop()

    # outgoing

    def publish(self, topic: bytes, frame: bytes) -> None:
        """Queue a hint; the oldest is dropped when MAX_QUEUED_HINTS wait."""
        if len(frame) > MAX_HINT_BYTES:
            raise ValueError(f"a hint of {len(frame)} bytes; at most {MAX_HINT_BYTES}")
        if len(self._outgoing) >= MAX_QUEUED_HINTS:
            self._outgoing.popleft()
            self.dropped += 1
        self._outgoing.append((topic, frame))
        self._wake.set()

    async def _publish_paced(self) -> None:
        while True:
            if not self._outgoing:
                self._wake = trio.Event()
                await self._wake.wait()
            topic, frame = self._outgoing.popleft()
            await self.pubsub.publish(topic.hex(), frame)
            await trio.sleep(1 / HINTS_PER_SECOND)

    # topics

    def set_topics(self, topics: frozenset[bytes]) -> None:
        """Exactly these from now on; announced soon after."""
        self._topics = topics
        self._changed.set()

    async def _follow_topics(self) -> None:
        followed: frozenset[bytes] = frozenset()
        while True:
            wanted = self._topics
            for topic in sorted(followed - wanted):
                await self.pubsub.unsubscribe(topic.hex())
            for topic in sorted(wanted - followed):
                await self.pubsub.subscribe(topic.hex())
            followed = wanted
            if self._topics == followed:
                self._changed = trio.Event()
                await self._changed.wait()

    # incoming

    def deliver(self, message: rpc_pb2.Message) -> None:
        """Into the event queue at once; libp2p's own channels hold 32 and overflow silently."""
        sender = device_id(ID(message.from_id))
        charge = len(message.data) + EVENT_OVERHEAD
        for named in message.topicIDs:
            if sender is None or named not in self.pubsub.topic_ids:
                continue
            if self._unread + charge > MAX_UNREAD_HINTS:
                self.dropped += 1
                continue
            self._unread += charge
            event = GossipReceived(bytes.fromhex(named), bytes(message.data), sender)
            self._queue.put(event, charge, self)

    def taken(self, size: int) -> None:
        """The driver took a hint."""
        self._unread -= size

    def answer_ping(self) -> None:
        """Hints carry no pings."""

    def greet(self, device: DeviceId) -> None:
        """Open the gossip stream to a linked member that a question kept us from opening."""
        if peer_id(device) not in self.pubsub.peers:
            self.pubsub._schedule_peer_stream_retry(peer_id(device))

    def banish(self, device: DeviceId) -> None:
        """After its connections are closed (the other order leaves it in the mesh): hear it no more."""
        self.pubsub.add_to_blacklist(peer_id(device))
