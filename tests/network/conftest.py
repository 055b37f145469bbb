"""What the network tests share: real hosts on loopback, strangers that misbehave, and waiting for facts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
import trio

from medsync_node.transport import host as hosts
from medsync_node.transport.events import EventQueue
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
        device = device_id(self.host.get_id())
        assert device is not None
        self.device: DeviceId = device

    async def dial(self, victim: Libp2pTransport) -> Any:
        """A connection to the victim, past its gate."""
        where, device = parse_address(victim.addresses[0])
        with trio.fail_after(PATIENCE):
            return await self.swarm.dial_addr(where, peer_id(device))

    async def open(self, victim: Libp2pTransport, protocol: str) -> Any:
        """A stream to the victim that speaks the protocol."""
        with trio.fail_after(PATIENCE):
            await self.dial(victim)
            return await self.host.new_stream(peer_id(victim.device), [protocol])  # type: ignore[list-item]


OpenNode = Callable[..., Awaitable[Libp2pTransport]]
OpenStranger = Callable[[str], Awaitable[Stranger]]


@pytest.fixture
async def node() -> AsyncIterator[OpenNode]:
    """Opens transports that regard everyone as a member, unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def open_node(
            name: str, *, standing: Callable[[DeviceId], Standing] | None = None, listen: str = LOOPBACK
        ) -> Libp2pTransport:
            transport = await stack.enter_async_context(running(device_seed=seed(name), listen=[listen]))
            transport.set_standing(standing or (lambda _: Standing.MEMBER))
            return transport

        yield open_node


@pytest.fixture
async def stranger() -> AsyncIterator[OpenStranger]:
    """Opens hosts without our protections."""
    async with AsyncExitStack() as stack:

        async def open_stranger(name: str) -> Stranger:
            made = Stranger(name)
            await stack.enter_async_context(hosts.running(made.host, made.swarm, []))
            return made

        yield open_stranger
