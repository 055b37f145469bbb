"""The memory transport keeps the promises of the real one, on virtual time; what both do is asked of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from medsync_node.transport import MemoryNetwork, MemoryTransport, open_libp2p
from medsync_node.transport.events import MAX_UNREAD_BYTES, EventQueue
from medsync_node.transport.memory import REDIAL_SECONDS
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import (
    JOIN_PROTOCOL,
    MAX_GUEST_FRAME,
    MAX_LINK_FRAME,
    Connected,
    Disconnected,
    FrameReceived,
    GossipReceived,
    Standing,
    Transport,
    TransportEvent,
    Unreachable,
)

from .conftest import LOOPBACK, PATIENCE, next_event, seed, until

TOPIC = b"topic"
Open = Callable[[str], Awaitable[Any]]


async def _hold(context: Any, *, task_status: Any) -> None:
    async with context as value:
        task_status.started(value)
        await trio.sleep_forever()


@pytest.fixture(params=["memory", "libp2p"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens transports of one kind that regard everyone as a member."""
    network = MemoryNetwork()

    async with trio.open_nursery() as nursery:

        async def open_one(name: str) -> Transport:
            if request.param == "memory":
                context: Any = network.open(DeviceId(seed(name)))
            else:
                context = open_libp2p(device_seed=seed(name), listen=[LOOPBACK])
            transport: Transport = await nursery.start(_hold, context)
            transport.set_standing(lambda _: Standing.MEMBER)
            return transport

        yield open_one
        nursery.cancel_scope.cancel()


async def link(one: Transport, other: Transport) -> None:
    one.set_peers({other.device: other.addresses})
    await until(lambda: other.device in one.linked() and one.device in other.linked())


async def take(transport: Transport, kind: type[Any]) -> Any:
    queue = transport.events()
    assert isinstance(queue, EventQueue)
    return await next_event(queue, kind)


async def test_a_link_is_told_to_both_sides_with_who_dialled(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    assert await take(one, Connected) == Connected(other.device, outbound=True)
    assert await take(other, Connected) == Connected(one.device, outbound=False)


async def test_frames_arrive_in_order(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    for number in range(200):
        assert one.send(other.device, b"%d" % number)
    for number in range(200):
        assert await take(other, FrameReceived) == FrameReceived(one.device, b"%d" % number)
    with trio.fail_after(PATIENCE):
        await one.drained(other.device, 1)
    assert one.backlog(other.device) == 0


async def test_a_frame_to_nobody_is_not_queued(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    assert not one.send(other.device, b"hello")
    assert one.backlog(other.device) == 0
    await one.drained(other.device, 1)


async def test_a_frame_over_the_bound_is_our_own_bug(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    with pytest.raises(ValueError, match="at most"):
        one.send(other.device, bytes(MAX_LINK_FRAME + 1))


async def test_expelling_hands_over_first(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    for number in range(20):
        one.send(other.device, b"%d" % number)
    one.set_standing(lambda _: Standing.REFUSED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.expel, other.device)
        for number in range(20):
            assert (await take(other, FrameReceived)).frame == b"%d" % number
        await take(other, Disconnected)
    assert one.linked() == frozenset()
    await until(lambda: other.linked() == frozenset())


async def test_there_is_no_link_between_strangers(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    other.set_standing(lambda _: Standing.GUEST)
    one.set_peers({other.device: other.addresses})
    await until(lambda: other.device in one.troubles())
    assert one.linked() == other.linked() == frozenset()


async def test_a_question_gets_its_answer_whoever_asks(opened: Open) -> None:
    async def answer(device: DeviceId, protocol: str, question: bytes) -> bytes:
        return device + protocol.encode() + question

    host, guest = await opened("host"), await opened("guest")
    address = host.addresses[0]
    with pytest.raises(Unreachable):
        await guest.ask(address, JOIN_PROTOCOL, b"?")
    host.set_guest_handler(answer)
    for standing in (Standing.GUEST, Standing.MEMBER):
        host.set_standing(lambda _, standing=standing: standing)
        guest.set_standing(lambda _: Standing.GUEST)
        assert await guest.ask(address, JOIN_PROTOCOL, b"?") == guest.device + JOIN_PROTOCOL.encode() + b"?"
    host.set_standing(lambda _: Standing.REFUSED)
    with pytest.raises(Unreachable):
        await guest.ask(address, JOIN_PROTOCOL, b"?")
    with pytest.raises(ValueError, match="at most"):
        await guest.ask(address, JOIN_PROTOCOL, bytes(MAX_GUEST_FRAME + 1))


async def test_hints_reach_those_with_the_topic(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    for transport in (one, other):
        transport.set_topics(frozenset({TOPIC}))

    async def publish_often() -> None:
        while True:
            one.publish(TOPIC, b"hint")
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish_often)
        assert await take(other, GossipReceived) == GossipReceived(TOPIC, b"hint", one.device)
        nursery.cancel_scope.cancel()


async def test_a_peer_no_longer_wanted_keeps_its_link_and_is_not_redialled(opened: Open) -> None:
    one, other = await opened("one"), await opened("other")
    await link(one, other)
    one.set_peers({})
    assert one.linked() == {other.device}
    assert one.troubles() == {}


# What only virtual time and a virtual network can show.


@asynccontextmanager
async def three(network: MemoryNetwork) -> AsyncIterator[list[MemoryTransport]]:
    """Three members, fully linked, their connections told."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(network.open(DeviceId(bytes([n]) * 32))) for n in range(3)]
        for transport in made:
            transport.set_standing(lambda _: Standing.MEMBER)
            transport.set_topics(frozenset({TOPIC}))
        for transport in made:
            transport.set_peers({peer.device: peer.addresses for peer in made})
        for transport in made:
            told = await transport.events().receive_batch()
            assert all(isinstance(event, Connected) for event in told)
            assert transport.linked() == {peer.device for peer in made if peer is not transport}
        yield made


async def test_latency_is_virtual(autojump_clock: MockClock) -> None:
    async with three(MemoryNetwork(latency=2.0)) as (one, other, _):
        began = trio.current_time()
        one.send(other.device, b"slow")
        await take(other, FrameReceived)
        assert trio.current_time() - began == pytest.approx(2.0)


async def test_a_partition_breaks_links_and_healing_brings_them_back(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(latency=0.01)
    async with three(network) as (one, other, third):
        one.send(third.device, b"lost on its way")
        network.partition([one.device, other.device], [third.device])
        assert one.linked() == {other.device}
        assert third.linked() == frozenset()
        assert await third.events().receive_batch() == [
            Disconnected(one.device, "partitioned"),
            Disconnected(other.device, "partitioned"),
        ]
        with pytest.raises(Unreachable):
            await one.ask(third.addresses[0], JOIN_PROTOCOL, b"?")
        assert one.troubles() == {third.device: "unreachable"}
        network.heal()
        await trio.sleep(REDIAL_SECONDS + 0.1)
        assert third.linked() == {one.device, other.device}
        assert one.troubles() == {}


async def test_a_stopped_transport_is_lost_like_a_crashed_process(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    async with three(network) as (one, _, _third):
        async with network.open(DeviceId(b"x" * 32)) as fourth:
            fourth.set_standing(lambda _: Standing.MEMBER)
            fourth.set_peers({one.device: one.addresses})
            assert await take(one, Connected) == Connected(fourth.device, outbound=False)
        assert await take(one, Disconnected) == Disconnected(fourth.device, "the peer stopped")
        assert not one.send(fourth.device, b"too late")


async def test_a_driver_that_does_not_take_holds_its_peer_back(autojump_clock: MockClock) -> None:
    async with three(MemoryNetwork()) as (one, other, _):
        count = 3 * MAX_UNREAD_BYTES // 1_000_000
        for number in range(count):
            one.send(other.device, bytes([number]) * 1_000_000)
        await trio.sleep(1)
        assert len(other.events()) < count
        assert one.backlog(other.device) > 0
        got = [(await take(other, FrameReceived)).frame[0] for _ in range(count)]
        assert got == list(range(count))


async def lossy_run(number: int) -> list[TransportEvent]:
    network = MemoryNetwork(latency=0.05, hint_loss=0.5, seed=number)
    async with three(network) as (one, other, third):
        for hint in range(50):
            one.publish(TOPIC, b"%d" % hint)
            third.publish(TOPIC, b"third %d" % hint)
        await trio.sleep(1)
        return await other.events().receive_batch()


async def test_lost_hints_depend_on_the_seed_only(autojump_clock: MockClock) -> None:
    first, again, another = await lossy_run(1), await lossy_run(1), await lossy_run(2)
    assert first == again != another
    assert 20 < len(first) < 80
