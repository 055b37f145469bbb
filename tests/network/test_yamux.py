"""The lean muxer on real sockets: bytes arrive whole, and a peer can't make us hold more than its bound."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import Any

import pytest
import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE, Yamux

from medsync_node.transport.containment import MAX_INBOUND_STREAMS
from medsync_node.transport.events import EVENT_OVERHEAD, MAX_UNREAD_BYTES, EventQueue
from medsync_node.transport.gossip import PROTOCOL as MESHSUB
from medsync_node.transport.lean_yamux import LINK_WINDOW, MAX_BUFFERED, MAX_STREAMS, LeanYamux
from medsync_node.transport.libp2p_transport import Libp2pTransport
from medsync_node.transport.link import LINK_PROTOCOL
from medsync_node.transport.peer_ids import peer_id
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import MAX_LINK_FRAME, Disconnected, FrameReceived

from .conftest import OpenNode, OpenStranger, linked, next_event, still_works, until


def frame_header(kind: int, flags: int, stream: int, length: int) -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream, length)


async def frames(queue: EventQueue, count: int) -> list[bytes]:
    return [(await next_event(queue, FrameReceived)).frame for _ in range(count)]


async def send_all(one: Libp2pTransport, peer: DeviceId, what: list[bytes]) -> None:
    for frame in what:
        await one.drained(peer, 4 << 20)
        assert one.send(peer, frame)


async def test_frames_of_every_size_arrive_whole_both_ways_at_once(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await linked(one, other)
    chance = random.Random(7)
    sizes = [
        0,
        1,
        65519,
        65520,
        65521,
        256 * 1024,
        MAX_LINK_FRAME,
        *(chance.randrange(200_000) for _ in range(60)),
    ]
    sent = [chance.randbytes(size) for size in sizes]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, one, other.device, sent)
        nursery.start_soon(send_all, other, one.device, sent[::-1])
        assert await frames(other.events(), len(sent)) == sent
        assert await frames(one.events(), len(sent)) == sent[::-1]


async def test_a_driver_that_does_not_take_holds_its_peer_back_and_loses_nothing(node: OpenNode) -> None:
    one, other = await node("one"), await node("other")
    await linked(one, other)
    sent = [bytes([number]) * 500_000 for number in range(40)]
    for frame in sent:
        assert one.send(other.device, frame)
    held = MAX_UNREAD_BYTES // (500_000 + EVENT_OVERHEAD) + 1
    await until(lambda: len(other.events()) == held)
    await until(lambda: one.backlog(other.device) <= sum(map(len, sent)) - held * 500_000)
    muxer = await carrier(other, one.device)
    await until(
        lambda: muxer.streams[link_stream(muxer)].recv_window == 0
    )  # all that it was granted is spent
    assert len(other.events()) == held
    assert one.backlog(other.device) >= sum(map(len, sent)) - held * 500_000 - LINK_WINDOW - 500_000
    assert await frames(other.events(), len(sent)) == sent


async def carrier(one: Libp2pTransport, peer: DeviceId) -> LeanYamux:
    await until(lambda: len(one.swarm.get_connections(peer_id(peer))) == 1)
    (connection,) = one.swarm.get_connections(peer_id(peer))
    muxer: Any = connection.muxed_conn
    assert isinstance(muxer, LeanYamux)
    return muxer


def link_stream(muxer: LeanYamux) -> int:
    (number,) = muxer._channels
    return number


async def flood(evil: Any, stream: Any, chunks: int, *, of: int = 200_000) -> None:
    """DATA frames without regard to any window."""
    muxer = stream.muxed_stream.conn
    for _ in range(chunks):
        if muxer.event_shutting_down.is_set():
            return
        await muxer._write_frame(frame_header(0, 0, stream.muxed_stream.stream_id, of) + bytes(of))


@pytest.mark.parametrize("protocol", [MESHSUB, LINK_PROTOCOL])
async def test_a_peer_that_exceeds_its_window_loses_its_connection(
    protocol: str, node: OpenNode, stranger: OpenStranger
) -> None:
    victim, member, evil = await node("victim"), await node("member"), await stranger("evil")
    await linked(member, victim)
    stream = await evil.open(victim, protocol)
    muxer = await carrier(victim, evil.device)
    await flood(evil, stream, 300)
    await until(lambda: not victim.swarm.get_connections(peer_id(evil.device)))
    assert "into a window of" in muxer.failure or "outside its link" in muxer.failure
    assert sum(map(len, muxer.stream_buffers.values())) <= MAX_BUFFERED
    await still_works(victim, member)


async def test_a_stock_muxer_buffers_what_it_is_sent(
    node: OpenNode, stranger: OpenStranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, libp2p was mended, or `muxer_opt` reaches the class that is built: see lean_yamux.install."""
    from medsync_node.transport import lean_yamux

    monkeypatch.setattr(lean_yamux, "install", lambda: None)
    monkeypatch.setattr(muxer_multistream, "Yamux", Yamux)
    victim, evil = await stranger("victim"), await stranger("evil")
    victim.host.set_stream_handler("/idle/1", lambda _: trio.sleep_forever())  # type: ignore[arg-type]
    stream = await evil.open(victim, "/idle/1")
    (connection,) = victim.swarm.get_connections(peer_id(evil.device))
    muxer: Any = connection.muxed_conn
    assert type(muxer) is Yamux
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood, evil, stream, 50)
        await until(lambda: sum(map(len, muxer.stream_buffers.values())) > 20 * DEFAULT_WINDOW_SIZE)
        nursery.cancel_scope.cancel()


async def test_windows_of_many_streams_together_are_bounded(node: OpenNode, stranger: OpenStranger) -> None:
    victim, evil = await node("victim"), await stranger("evil")
    connection = await evil.dial(victim)
    muxer: Any = connection.muxed_conn
    held = await carrier(victim, evil.device)
    with contextlib.suppress(trio.BrokenResourceError):  # the victim may close the connection in between
        for number in range(MAX_STREAMS):
            stream = 10_001 + 2 * number
            await muxer._write_frame(frame_header(1, 1, stream, 0))
            full = frame_header(0, 0, stream, DEFAULT_WINDOW_SIZE) + b"\x14" * DEFAULT_WINDOW_SIZE
            await muxer._write_frame(full)
    await until(lambda: len(victim.swarm.get_connections(peer_id(evil.device))) == 0 or held.streams == {})
    assert sum(map(len, held.stream_buffers.values())) <= MAX_BUFFERED


async def test_streams_beyond_a_members_share_are_reset(node: OpenNode, stranger: OpenStranger) -> None:
    victim, member, evil = await node("victim"), await node("member"), await stranger("evil")
    await linked(member, victim)
    connection = await evil.dial(victim)
    opened = [await connection.muxed_conn.open_stream() for _ in range(MAX_INBOUND_STREAMS + 3)]
    await until(lambda: sum(stream.reset_received for stream in opened) == 3)
    await still_works(victim, member)


async def test_streams_without_end_are_reset_as_they_come(node: OpenNode, stranger: OpenStranger) -> None:
    victim, member, evil = await node("victim"), await node("member"), await stranger("evil")
    await linked(member, victim)
    connection = await evil.dial(victim)
    held = await carrier(victim, evil.device)
    for number in range(3000):
        if connection.muxed_conn.event_shutting_down.is_set():
            break
        await connection.muxed_conn._write_frame(frame_header(1, 1, 10_001 + 2 * number, 0))
        assert len(held.streams) <= MAX_STREAMS
    await still_works(victim, member)


async def test_a_link_closed_by_its_peer_ends_here_too(node: OpenNode, stranger: OpenStranger) -> None:
    victim, evil = await node("victim"), await stranger("evil")
    stream = await evil.open(victim, LINK_PROTOCOL)
    await until(lambda: victim.linked() == {evil.device})
    await stream.reset()
    ended = await next_event(victim.events(), Disconnected)
    assert ended == Disconnected(evil.device, "the peer closed the link")
