"""What the engine's driver needs of the world, as types: who implements them is medsync_node's and medsync_sim's matter.

The transport (DESIGN §5): direct streams carry everything that matters, gossip is a hint that may be lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from medsync_protocol.errors import MedSyncError
from medsync_protocol.ids import DeviceId

JOIN_PROTOCOL: Final = "/medsync/join/1"  # an invited device asks to be admitted
NOTICE_PROTOCOL: Final = "/medsync/notice/1"  # a removed one hands in what PROTOCOL §3.4 still allows
GUEST_PROTOCOLS: Final = frozenset({JOIN_PROTOCOL, NOTICE_PROTOCOL})

MAX_LINK_FRAME: Final = (1 << 20) + 1024  # a chunk of 1 MiB and its header; a longer one closes the link
MAX_GUEST_FRAME: Final = 64 * 1024  # all that a stranger can make us hold, and all that we answer


class Standing(Enum):
    """What a device may do here: the gate's three outcomes (LIBP2P, Permissioning)."""

    MEMBER = "member"  # a link, gossip, guest protocols
    GUEST = "guest"  # unknown, invited or tentatively removed: one question on a guest protocol
    REFUSED = "refused"  # its connection is closed after the handshake


class Unreachable(MedSyncError):
    """Nobody with that identity answered at that address in time, or it closed the door."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The one link to this peer is up. `outbound`: this side dialled."""

    peer: DeviceId
    outbound: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone, and with it whatever was queued on it: ask again by sync. `reason` is for people."""

    peer: DeviceId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A whole frame, in the order in which the peer sent it."""

    peer: DeviceId
    frame: bytes


@dataclass(frozen=True, slots=True)
class GossipReceived:
    """A hint published by `sender`, a member, on one of our topics; may be late, doubled or lost."""

    topic: bytes
    frame: bytes
    sender: DeviceId


TransportEvent = Connected | Disconnected | FrameReceived | GossipReceived

GuestHandler = Callable[[DeviceId, str, bytes], Awaitable[bytes]]
"""(asking device, guest protocol, question) → answer, each at most MAX_GUEST_FRAME bytes."""


class EventStream(Protocol):
    """The transport's events in order. Bounded: what is not taken holds the peers back, nothing is dropped."""

    async def receive(self) -> TransportEvent:
        """The next event, when there is one."""
        ...

    async def receive_batch(self) -> list[TransportEvent]:
        """All events that wait, at least one: what one commit can cover."""
        ...

    def __aiter__(self) -> AsyncIterator[TransportEvent]:
        """Events one by one, for ever."""
        ...


class Transport(Protocol):
    """One device on the network. At most one link per peer, and only to members."""

    @property
    def device(self) -> DeviceId:
        """The device this transport speaks for."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Multiaddrs it listens on, each with its /p2p/ identity."""
        ...

    def events(self) -> EventStream:
        """The one stream of events; one reader."""
        ...

    def send(self, peer: DeviceId, frame: bytes) -> bool:
        """Queue a frame; False if there is no link or the peer took so little that its link had to be closed."""
        ...

    def linked(self) -> frozenset[DeviceId]:
        """Peers with a link now."""
        ...

    def backlog(self, peer: DeviceId) -> int:
        """Bytes queued and not yet written; 0 without a link."""
        ...

    async def drained(self, peer: DeviceId, below: int) -> None:
        """Return when the backlog is under `below` bytes or the link is gone: so bulk serving paces itself."""
        ...

    async def ask(self, address: str, protocol: str, frame: bytes) -> bytes:
        """One question, one answer on a guest protocol, over a connection of its own. Raises Unreachable."""
        ...

    def set_standing(self, standing: Callable[[DeviceId], Standing]) -> None:
        """Who may do what; asked at every connection, stream and gossip message."""
        ...

    def set_guest_handler(self, handler: GuestHandler) -> None:
        """Who answers guests; without one they are turned away."""
        ...

    def set_peers(self, peers: Mapping[DeviceId, Sequence[str]]) -> None:
        """Devices to keep links to, and where they listen; replaces the last list."""
        ...

    async def expel(self, peer: DeviceId) -> None:
        """Hand over what is queued, then close its link and keep it out. Change its standing before."""
        ...

    def publish(self, topic: bytes, frame: bytes) -> None:
        """Queue a hint for the topic: paced; dropped when too much waits, for sync repairs it."""
        ...

    def set_topics(self, topics: frozenset[bytes]) -> None:
        """Exactly these topics from now on."""
        ...

    def troubles(self) -> Mapping[DeviceId, str]:
        """Per peer without a link, why the last attempt failed: for `status`."""
        ...
