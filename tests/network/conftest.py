"""What the network tests share: real hosts on loopback, strangers that misbehave, and waiting for facts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from medsync_node.transport import host as hosts
from medsync_node.transport.events import EventQueue
from medsync_node.transport.gossip import PROTOCOL as MESHSUB
from medsync_node.transport.libp2p_transport import Libp2pTransport, running
from medsync_node.transport.peer_ids import device_id, parse_address, peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Connected, FrameReceived, Standing

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
PATIENCE = 20.0  # seconds until a fact that does not come fails the test
T = TypeVar("T")


def seed(name: str) -> bytes:
    """A device seed that depends on the name only."""
    return hashlib.sha256(name.encode()).digest()


async def until(fact: Callable[[], bool]) -> None:
    """Return as soon as the fact holds."""
    with trio.fail_after(PATIENCE):
        while not fact():
            await trio.sleep(0.005)


async def next_event(queue: EventQueue, kind: type[T]) -> T:
    """The next event of this kind; others are skipped."""
    with trio.fail_after(PATIENCE):
        while True:
            event = await queue.receive()
            if isinstance(event, kind):
                return event


async def linked(one: Libp2pTransport, other: Libp2pTransport) -> None:
    """Members of each other with a link up, and its event taken on both sides."""
    one.set_peers({other.device: other.addresses})
    for transport, peer in ((one, other), (other, one)):
        while (await next_event(transport.events(), Connected)).peer != peer.device:
            continue


async def still_works(one: Libp2pTransport, other: Libp2pTransport) -> None:
    """A frame goes both ways between two linked transports."""
    for source, target in ((one, other), (other, one)):
        assert source.send(target.device, b"still here")
        while (await next_event(target.events(), FrameReceived)).frame != b"still here":
            continue


class Stranger:
    """A libp2p host with none of our protections: what an attacker would write."""

    def __init__(self, name: str) -> None:
        self.host, self.swarm = hosts.build(seed(name))
        self.pubsub: Pubsub | None = None
        self.address: Multiaddr | None = None
        device = device_id(self.host.get_id())
        assert device is not None
        self.device: DeviceId = device

    @asynccontextmanager
    async def running(self, *, gossip: bool = False) -> AsyncIterator[Stranger]:
        """The host on loopback; with GossipSub as libp2p makes it, if asked for."""
        async with hosts.running(self.host, self.swarm, [LOOPBACK]) as bound:
            self.address = bound[0]
            if not gossip:
                yield self
                return
            router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
            self.pubsub = Pubsub(self.host, router)
            async with background_trio_service(self.pubsub), background_trio_service(router):
                await self.pubsub.wait_until_ready()
                yield self
            self.pubsub.seen_messages.stop()

    async def dial(self, victim: Libp2pTransport | Stranger) -> Any:
        """A connection to the victim, past its gate."""
        where = victim.address if isinstance(victim, Stranger) else parse_address(victim.addresses[0])[0]
        assert where is not None
        with trio.fail_after(PATIENCE):
            return await self.swarm.dial_addr(where, peer_id(victim.device))

    async def open(self, victim: Libp2pTransport | Stranger, protocol: str) -> Any:
        """A stream to the victim that speaks the protocol."""
        with trio.fail_after(PATIENCE):
            if not self.swarm.get_connections(peer_id(victim.device)):
                await self.dial(victim)
            return await self.host.new_stream(peer_id(victim.device), [protocol])  # type: ignore[list-item]

    async def rpc(self, victim: Libp2pTransport | Stranger, *messages: bytes) -> Any:
        """A gossip stream on which these bytes were sent, each with its length before it."""
        stream = await self.open(victim, MESHSUB)
        for message in messages:
            await stream.write(encode_varint_prefixed(message))
        return stream

    async def raw(self, victim: Libp2pTransport | Stranger, data: bytes) -> Any:
        """A stream that was not negotiated, with these bytes on it."""
        connection = await self.dial(victim)
        stream = await connection.muxed_conn.open_stream()
        await stream.write(data)
        return stream


async def turned_away(opening: Awaitable[Any]) -> None:
    """Return when the stream that is being opened is over; an answer on it fails the test."""
    with trio.fail_after(PATIENCE):
        try:
            stream = await opening
            assert await stream.read(1) == b"", "answered"
        except (AssertionError, trio.TooSlowError):
            raise
        except Exception:  # whichever of libp2p's errors says that it is over
            return


def leaves(error: BaseException) -> list[BaseException]:
    """What an exception, or a group of groups, is made of."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


OpenNode = Callable[..., Awaitable[Libp2pTransport]]
OpenStranger = Callable[..., Awaitable[Stranger]]


async def _hold(context: AbstractAsyncContextManager[Any], *, task_status: Any) -> None:
    """Keep a context open in a task of its own until it is cancelled: who opens must also close."""
    async with context as value:
        task_status.started(value)
        await trio.sleep_forever()


@pytest.fixture
async def node() -> AsyncIterator[OpenNode]:
    """Opens transports that regard everyone as a member, unless told otherwise."""
    async with trio.open_nursery() as nursery:

        async def open_node(
            name: str, *, standing: Callable[[DeviceId], Standing] | None = None, listen: str = LOOPBACK
        ) -> Libp2pTransport:
            made = await nursery.start(_hold, running(device_seed=seed(name), listen=[listen]))
            assert isinstance(made, Libp2pTransport)
            made.set_standing(standing or (lambda _: Standing.MEMBER))
            return made

        yield open_node
        nursery.cancel_scope.cancel()


@pytest.fixture
async def stranger() -> AsyncIterator[OpenStranger]:
    """Opens hosts without our protections."""
    async with trio.open_nursery() as nursery:

        async def open_stranger(name: str, *, gossip: bool = False) -> Stranger:
            made = await nursery.start(_hold, Stranger(name).running(gossip=gossip))
            assert isinstance(made, Stranger)
            return made

        yield open_stranger
        nursery.cancel_scope.cancel()
