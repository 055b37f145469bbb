"""Gossip is a hint: paced, bounded, members only, repaired elsewhere (LIBP2P, Gossip)."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
import trio
from libp2p.network.stream.exceptions import StreamError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.utils.varint import encode_uvarint

from medsync_node.transport.events import EVENT_OVERHEAD
from medsync_node.transport.gossip import (
    HINTS_PER_SECOND,
    MAX_HINT_BYTES,
    MAX_QUEUED_HINTS,
    MAX_UNREAD_HINTS,
    PROTOCOL,
)
from medsync_node.transport.libp2p_transport import Libp2pTransport, running
from medsync_node.transport.peer_ids import peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import NOTICE_PROTOCOL, Disconnected, GossipReceived, Standing

from .conftest import LOOPBACK, PATIENCE, OpenNode, OpenStranger, Stranger, linked, next_event, seed, until

TOPIC = b"topic"


def meshed(*transports: Libp2pTransport) -> bool:
    """Whether all have each other in the topic."""
    return all(
        peer_id(other.device) in one.hints.pubsub.peer_topics.get(TOPIC.hex(), ())
        for one in transports
        for other in transports
        if one is not other
    )


async def gossiping(*transports: Libp2pTransport) -> None:
    """A full mesh on the topic."""
    for number, one in enumerate(transports):
        for other in transports[:number]:
            await linked(one, other)
        one.set_topics(frozenset({TOPIC}))
    await until(lambda: meshed(*transports))


async def hint(transport: Libp2pTransport) -> GossipReceived:
    return await next_event(transport.events(), GossipReceived)


async def test_a_burst_arrives_whole_and_at_its_pace(node: OpenNode, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = await node("one"), await node("other")
    await gossiping(one, other)
    published: list[float] = []
    publish = one.hints.pubsub.publish

    async def noted(topic: str, data: bytes) -> None:
        published.append(trio.current_time())
        await publish(topic, data)

    monkeypatch.setattr(one.hints.pubsub, "publish", noted)
    frames = [b"%d" % number for number in range(40)]
    for frame in frames:
        one.publish(TOPIC, frame)
    assert [(await hint(other)).frame for _ in frames] == frames
    assert min(later - earlier for earlier, later in pairwise(published)) >= 1 / HINTS_PER_SECOND
    assert one.hints.dropped == 0


async def test_what_is_published_beyond_the_queue_is_dropped_and_counted(node: OpenNode) -> None:
    one = await node("one")
    for number in range(MAX_QUEUED_HINTS + 10):
        one.publish(TOPIC, b"%d" % number)
    assert one.hints.dropped == 10


async def test_a_hint_as_long_as_the_bound_arrives_and_a_longer_one_is_our_bug(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await gossiping(one, other)
    one.publish(TOPIC, b"x" * MAX_HINT_BYTES)
    assert (await hint(other)).frame == b"x" * MAX_HINT_BYTES
    with pytest.raises(ValueError, match="at most"):
        one.publish(TOPIC, b"x" * (MAX_HINT_BYTES + 1))


async def test_an_rpc_over_the_bound_is_not_read(node: OpenNode, stranger: OpenStranger) -> None:
    host, evil = await node("host"), await stranger("evil")
    stream = await evil.open(host, PROTOCOL)
    await stream.write(encode_uvarint(4 * MAX_HINT_BYTES) + bytes(1000))
    with pytest.raises(StreamError), trio.fail_after(PATIENCE):
        await stream.read(1)


async def test_hints_that_the_driver_does_not_take_are_bounded(node: OpenNode) -> None:
    one = await node("one")
    one.set_topics(frozenset({TOPIC}))
    await until(lambda: TOPIC.hex() in one.hints.pubsub.topic_ids)
    message = rpc_pb2.Message(
        data=bytes(1000), topicIDs=[TOPIC.hex()], from_id=peer_id(one.device).to_bytes()
    )
    count = MAX_UNREAD_HINTS // (1000 + EVENT_OVERHEAD) + 5
    for _ in range(count):
        one.hints.deliver(message)
    assert one.hints.dropped == 5
    assert len(one.events()) == count - 5
    await one.events().receive_batch()
    one.hints.deliver(message)
    assert len(one.events()) == 1


async def test_an_identity_restarted_after_a_burst_is_heard(node: OpenNode) -> None:
    """A stock counter starts at the second: what a restarted identity publishes was seen before."""
    other = await node("other")
    heard: list[bytes] = []
    for life in range(2):
        async with running(device_seed=seed("one"), listen=[LOOPBACK]) as one:
            one.set_standing(lambda _: Standing.MEMBER)
            await gossiping(other, one)
            for number in range(3):
                one.publish(TOPIC, b"%d %d" % (life, number))
                heard.append((await hint(other)).frame)
        await next_event(other.events(), Disconnected)
    assert heard == [b"%d %d" % (life, number) for life in range(2) for number in range(3)]


async def test_a_stock_counter_starts_at_the_second(stranger: OpenStranger) -> None:
    """When this fails, libp2p was mended."""
    before = int(time.time())
    pubsub = (await stranger("stock", gossip=True)).pubsub
    assert pubsub is not None
    assert before <= pubsub.counter <= int(time.time())


def published(author: Stranger, data: bytes, number: int) -> bytes:
    """An RPC with one message signed by the author."""
    message = rpc_pb2.Message(
        data=data,
        topicIDs=[TOPIC.hex()],
        from_id=peer_id(author.device).to_bytes(),
        seqno=number.to_bytes(8, "big"),
    )
    message.signature = author.host.get_private_key().sign(b"libp2p-pubsub:" + message.SerializeToString())
    return bytes(rpc_pb2.RPC(publish=[message]).SerializeToString())


async def test_a_non_members_message_is_neither_delivered_nor_forwarded(
    node: OpenNode, stranger: OpenStranger
) -> None:
    ghost = Stranger("ghost")
    outside = {ghost.device}

    def standing(device: DeviceId) -> Standing:
        return Standing.GUEST if device in outside else Standing.MEMBER

    first, second = await node("first", standing=standing), await node("second", standing=standing)
    await gossiping(first, second)
    carrier = await stranger("carrier")
    stream = await carrier.rpc(
        first, published(ghost, b"of the ghost", 1), published(carrier, b"of a member", 2)
    )
    for transport in (first, second):
        received = await hint(transport)
        assert received == GossipReceived(TOPIC, b"of a member", carrier.device)
    outside.clear()
    await stream.write(bytes([0]))  # the same carrier is still heard
    await carrier.rpc(first, published(ghost, b"admitted", 3))
    assert (await hint(second)).frame == b"admitted"


async def test_a_topic_that_was_left_is_heard_no_more(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await gossiping(one, other)
    other.set_topics(frozenset({b"new"}))
    await until(lambda: not meshed(one, other))
    one.set_topics(frozenset({TOPIC, b"new"}))
    await until(lambda: peer_id(one.device) in other.hints.pubsub.peer_topics.get(b"new".hex(), ()))
    one.publish(TOPIC, b"old key")
    one.publish(b"new", b"new key")
    assert await hint(other) == GossipReceived(b"new", b"new key", one.device)


async def test_own_hints_do_not_come_back(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await gossiping(one, other)
    one.publish(TOPIC, b"mine")
    await hint(other)
    other.publish(TOPIC, b"theirs")
    assert (await hint(one)).frame == b"theirs"


async def test_a_question_to_a_linked_member_leaves_its_gossip_alone(node: OpenNode) -> None:
    async def answer(device: DeviceId, protocol: str, question: bytes) -> bytes:
        return b"yes"

    one, other = await node("one"), await node("other")
    other.set_guest_handler(answer)
    await gossiping(one, other)
    for _ in range(3):
        assert await one.ask(other.addresses[0], NOTICE_PROTOCOL, b"?") == b"yes"
    await until(lambda: meshed(one, other))
    one.publish(TOPIC, b"still heard")
    assert (await hint(other)).frame == b"still heard"


async def test_only_meshsub_1_1_is_spoken(node: OpenNode) -> None:
    """1.2 sends an IDONTWANT for each message: 9.0 ms CPU against 4.8."""
    one, other = await node("one"), await node("other")
    await gossiping(one, other)
    spoken: Any = one.hints.pubsub.router
    assert spoken.get_protocols() == [PROTOCOL] == ["/meshsub/1.1.0"]
    assert set(spoken.peer_protocol.values()) == {PROTOCOL}
    assert isinstance(one.hints.pubsub, Pubsub)
    assert spoken.heartbeat_interval == 1
