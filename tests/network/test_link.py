"""The link's own rules, without a network: framing, keep-alive, bounds."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from medsync_node.transport.events import MAX_UNREAD_BYTES, EventQueue
from medsync_node.transport.link import MAX_BACKLOG, PATIENCE, PING_AFTER, Link
from medsync_node.transport.links import SIMULTANEOUS, LinkTable, survives
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import MAX_LINK_FRAME, Connected, Disconnected, FrameReceived

PEER = DeviceId(b"p" * 32)
PING = b"\xff\xff\xff\xff"
PONG = b"\xff\xff\xff\xfe"
ACCEPT = b"\xff\xff\xff\xfd"


class Wire:
    """A channel that keeps what the link writes."""

    def __init__(self) -> None:
        self.sent = b""
        self.credited = 0
        self.unsent = 0
        self.closed = False

    def write(self, header: bytes, body: bytes) -> None:
        self.sent += header + body

    def credit(self, size: int) -> None:
        self.credited += size

    def close(self) -> None:
        self.closed = True


class Ends:
    """One accepted link with its wire, its queue and its end."""

    def __init__(self, *, outbound: bool = False) -> None:
        self.queue = EventQueue()
        self.wire = Wire()
        self.reasons: list[str] = []
        self.link = Link(
            PEER, outbound=outbound, queue=self.queue, closed=lambda _, reason: self.reasons.append(reason)
        )
        self.link.attach(self.wire)
        if not outbound:
            self.link.accept()
            self.wire.sent = b""


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
async def test_frames_arrive_whole_however_the_bytes_are_cut(piece: int) -> None:
    ends = Ends()
    frames = [b"", b"a", b"b" * 300, b"", b"c" * 7]
    stream = b"".join(map(framed, frames))
    for at in range(0, len(stream), piece):
        ends.link.received(stream[at : at + piece])
    assert [await ends.queue.receive() for _ in frames] == [FrameReceived(PEER, frame) for frame in frames]
    assert ends.wire.credited == len(stream)


async def test_a_frame_larger_than_the_bound_closes_the_link() -> None:
    ends = Ends()
    ends.link.received((MAX_LINK_FRAME + 1).to_bytes(4, "big"))
    assert ends.wire.closed
    assert str(MAX_LINK_FRAME + 1) in ends.reasons[0]


async def test_a_frame_of_exactly_the_bound_is_taken() -> None:
    ends = Ends()
    ends.link.received(framed(b"x" * MAX_LINK_FRAME))
    assert await ends.queue.receive() == FrameReceived(PEER, b"x" * MAX_LINK_FRAME)


async def test_sending_a_frame_over_the_bound_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="at most"):
        Ends().link.send(b"x" * (MAX_LINK_FRAME + 1))


async def test_an_unknown_control_word_closes_the_link() -> None:
    ends = Ends()
    ends.link.received(b"\xff\xff\xff\xf0")
    assert ends.wire.closed


async def test_the_dialling_side_takes_no_frame_before_the_link_is_accepted() -> None:
    ends = Ends(outbound=True)
    ends.link.received(framed(b"early"))
    assert ends.wire.closed
    accepted = Ends(outbound=True)
    accepted.link.received(ACCEPT + framed(b"in time"))
    assert accepted.link.accepted.is_set()
    accepted.link.enter()
    assert await accepted.queue.receive() == FrameReceived(PEER, b"in time")


@pytest.mark.parametrize("pieces", [1, 2])
async def test_frames_that_come_with_the_acceptance_wait_until_the_driver_knows_the_link(pieces: int) -> None:
    """Else the peer's hello is lost: a busy dialler finds acceptance and hello in one read, and enters the link later."""
    queue = EventQueue()
    table = LinkTable(DeviceId(b"o" * 32), queue, lambda peer: None)
    link = Link(PEER, outbound=True, queue=queue, closed=table.closed)
    link.attach(Wire())
    stream = ACCEPT + framed(b"hello") + framed(b"more")
    for at in range(0, len(stream), -(-len(stream) // pieces)):
        link.received(stream[at : at + -(-len(stream) // pieces)])
    assert link.accepted.is_set()
    assert table.offer(link)
    assert [await queue.receive() for _ in range(3)] == [
        Connected(PEER, True), FrameReceived(PEER, b"hello"), FrameReceived(PEER, b"more"),
    ]  # fmt: skip


async def test_reading_stops_when_the_driver_does_not_take_and_goes_on_when_it_does() -> None:
    ends = Ends()
    frame = framed(b"x" * 100_000)
    count = 3 * MAX_UNREAD_BYTES // len(frame)
    ends.link.received(frame * count)
    held = ends.wire.credited
    assert held <= MAX_UNREAD_BYTES + len(frame), "credit beyond the bound lets the peer fill our memory"
    for _ in range(count):
        await ends.queue.receive()
    assert ends.wire.credited == len(frame) * count
    assert len(ends.queue) == 0


async def test_tiny_frames_are_charged_for_what_they_cost() -> None:
    ends = Ends()
    ends.link.received(framed(b"") * 100_000)
    assert len(ends.queue) < 20_000


async def test_a_ping_is_answered_only_when_the_driver_took_what_came_before() -> None:
    ends = Ends()
    ends.link.received(framed(b"before") + PING + framed(b"after"))
    assert ends.wire.sent == b""
    assert await ends.queue.receive() == FrameReceived(PEER, b"before")
    assert ends.wire.sent == b""
    assert await ends.queue.receive() == FrameReceived(PEER, b"after")
    assert ends.wire.sent == PONG


async def test_pings_in_a_flood_are_answered_once() -> None:
    ends = Ends()
    ends.link.received(PING * 10_000 + framed(b"after"))
    await ends.queue.receive()
    assert ends.wire.sent == PONG


async def test_a_peer_that_never_answers_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    ends = Ends()
    await trio.sleep(PING_AFTER)
    ends.link.check(trio.current_time())
    assert ends.wire.sent == PING
    await trio.sleep(PATIENCE - 1)
    ends.link.check(trio.current_time())
    assert not ends.wire.closed
    await trio.sleep(1)
    ends.link.check(trio.current_time())
    assert ends.wire.closed
    assert ends.reasons == ["did not read for too long"]


async def test_a_slow_peer_that_reads_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    ends = Ends()
    await trio.sleep(PING_AFTER)
    ends.link.check(trio.current_time())
    for _ in range(10):
        await trio.sleep(PATIENCE - 1)
        ends.link.progressed()
        ends.link.check(trio.current_time())
    assert not ends.wire.closed


async def test_a_peer_that_answers_is_asked_again_later(autojump_clock: trio.testing.MockClock) -> None:
    ends = Ends()
    for _ in range(3):
        await trio.sleep(PING_AFTER)
        ends.link.check(trio.current_time())
        ends.link.received(PONG)
    assert ends.wire.sent == PING * 3
    assert not ends.wire.closed


async def test_a_backlog_over_the_bound_closes_the_link_instead_of_losing_frames() -> None:
    ends = Ends()
    ends.wire.unsent = MAX_BACKLOG
    assert not ends.link.send(b"one more")
    assert ends.wire.closed


async def test_waiting_for_room_ends_with_the_link() -> None:
    ends = Ends()
    ends.wire.unsent = 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.link.drained, 5)
        nursery.start_soon(ends.link.flushed)
        await trio.testing.wait_all_tasks_blocked()
        ends.link.close("gone")
    assert not ends.link.send(b"too late")


@pytest.mark.parametrize("small_dialled_first", [True, False])
async def test_of_two_links_dialled_at_once_both_sides_keep_the_same(small_dialled_first: bool) -> None:
    small, large = DeviceId(b"\x01" * 32), DeviceId(b"\x02" * 32)

    def link(peer: DeviceId, outbound: bool, since: float) -> Link:
        made = Link(peer, outbound=outbound, queue=EventQueue(), closed=lambda *_: None)
        made.since = since
        return made

    times = (0.0, 1.0) if small_dialled_first else (1.0, 0.0)
    at_small = {True: link(large, True, times[0]), False: link(large, False, times[1])}
    at_large = {True: link(small, False, times[0]), False: link(small, True, times[1])}
    first = small_dialled_first
    small_keeps_small = survives(small, at_small[first], at_small[not first]) == (not first)
    large_keeps_small = survives(large, at_large[first], at_large[not first]) == (not first)
    assert small_keeps_small
    assert large_keeps_small


async def test_a_link_dialled_long_after_replaces_the_old_one() -> None:
    own = DeviceId(b"\x01" * 32)
    for outbound in (True, False):
        for new_outbound in (True, False):
            old = Link(PEER, outbound=outbound, queue=EventQueue(), closed=lambda *_: None)
            new = Link(PEER, outbound=new_outbound, queue=EventQueue(), closed=lambda *_: None)
            new.since = old.since + SIMULTANEOUS + 1
            assert survives(own, old, new)


async def test_a_replaced_link_is_reported_as_lost_before_the_new_one_is_reported() -> None:
    queue = EventQueue()
    table = LinkTable(DeviceId(b"\x01" * 32), queue, lambda _: None)
    old = Link(PEER, outbound=True, queue=queue, closed=table.closed)
    new = Link(PEER, outbound=True, queue=queue, closed=table.closed)
    assert table.offer(old)
    assert table.offer(new)
    new.close("end of the test")
    kinds = [type(event) for event in await queue.receive_batch()]
    assert kinds == [Connected, Disconnected, Connected, Disconnected]
    assert table.peers() == frozenset()
