"""One link: frames over a channel, keep-alive, bounds. The channel moves bytes; which links live is links.py's to say.

Wire: 4 bytes big-endian length, then the frame. Lengths from `_FIRST_CONTROL` up carry no frame and mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import trio

from medsync_node.transport.events import EVENT_OVERHEAD, MAX_UNREAD_BYTES, RESUME_BYTES, EventQueue
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import MAX_LINK_FRAME, FrameReceived

LINK_PROTOCOL: Final = "/medsync/link/1"
MAX_BACKLOG: Final = 32 << 20  # queued for one peer; a peer further behind is cheaper served by sync later
PING_AFTER: Final = 10.0  # seconds after the last answer: how often a quiet link is tried
PATIENCE: Final = 30.0  # seconds without an answer or any sign of reading, then the peer counts as stuck

_LENGTH: Final = 4
_FIRST_CONTROL: Final = 0xFFFFFFF0
_PING: Final = (0xFFFFFFFF).to_bytes(_LENGTH, "big")
_PONG: Final = (0xFFFFFFFE).to_bytes(_LENGTH, "big")
_ACCEPT: Final = (0xFFFFFFFD).to_bytes(_LENGTH, "big")


class Channel(Protocol):
    """Bytes both ways, in order; the far end of `Link`."""

    @property
    def unsent(self) -> int:
        """Bytes queued and not yet handed to the system."""
        ...

    def write(self, header: bytes, body: bytes) -> None:
        """Queue bytes; they leave at once when nothing is in flight, together when something is."""
        ...

    def credit(self, size: int) -> None:
        """The peer may send this much more."""
        ...

    def close(self) -> None:
        """Give the connection up, without waiting."""
        ...


class Link:
    """A peer's frames, in order, into the event queue and out of `send`."""

    def __init__(
        self, peer: DeviceId, *, outbound: bool, queue: EventQueue, closed: Callable[[Link, str], None]
    ) -> None:
        self.peer = peer
        self.outbound = outbound
        self.since = trio.current_time()
        self.accepted = trio.Event()
        self.over = trio.Event()
        self.ended: str | None = None
        self._queue = queue
        self._closed = closed
        self._channel: Channel | None = None
        self._buffer = bytearray()
        self._unread = 0
        self._paused = False
        self._entered = not outbound
        self._ping_queued = False
        self._pinged: float | None = None
        self._answered = trio.current_time()
        self._progress = self._answered
        self._pong = trio.Event()
        self._lot = trio.lowlevel.ParkingLot()

    def attach(self, channel: Channel) -> None:
        """Give the link its bytes; before anything else."""
        self._channel = channel

    def accept(self) -> None:
        """Tell the dialling side that this is the link."""
        self.accepted.set()
        self._write(_ACCEPT)

    def enter(self) -> None:
        """The driver was told of the link: its frames may follow. What came with the acceptance waited for this."""
        if not self._entered:
            self._entered = True
            if not self._paused:
                self._parse()

    # outgoing

    @property
    def backlog(self) -> int:
        """Bytes queued and not yet written."""
        return 0 if self._channel is None else self._channel.unsent

    def send(self, frame: bytes) -> bool:
        """Queue a frame; False when the link is closed, or closes now for a backlog over MAX_BACKLOG."""
        if self.ended is not None or self._channel is None:
            return False
        if len(frame) > MAX_LINK_FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_LINK_FRAME}")
        if self._channel.unsent + len(frame) > MAX_BACKLOG:
            self.close(f"took too little: {self._channel.unsent} bytes waited")
            return False
        self._channel.write(len(frame).to_bytes(_LENGTH, "big"), frame)
        return True

    def _write(self, control: bytes) -> None:
        if self.ended is None and self._channel is not None:
            self._channel.write(control, b"")

    async def drained(self, below: int) -> None:
        """Return when fewer than `below` bytes wait, or the link is gone."""
        while self.ended is None and self.backlog >= below:
            await self._lot.park()

    async def flushed(self) -> None:
        """Return when the peer's driver has taken all that was sent before, or the link is gone."""
        self._ping()
        while self.ended is None and self._pinged is not None:
            await self._pong.wait()

    # incoming, called by the channel

    def received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self.ended is not None:
            return
        self._buffer += data
        if not self._paused:
            self._parse()

    def written(self) -> None:
        """Some of what was queued left."""
        self._lot.unpark_all()

    def progressed(self) -> None:
        """The peer granted window: its end of the link reads."""
        self._progress = trio.current_time()

    def eof(self, reason: str) -> None:
        """The channel is gone."""
        self.close(reason)

    def _parse(self) -> None:
        buffer, at = self._buffer, 0
        while self.ended is None and not self._paused and len(buffer) - at >= _LENGTH:
            size = int.from_bytes(buffer[at : at + _LENGTH], "big")
            if size >= _FIRST_CONTROL:
                at += _LENGTH
                self._control(size.to_bytes(_LENGTH, "big"))
                continue
            if not self.accepted.is_set():
                self.close("sent a frame before it accepted the link")
                return
            if size > MAX_LINK_FRAME:
                self.close(f"sent a frame of {size} bytes; at most {MAX_LINK_FRAME}")
                return
            if not self._entered or len(buffer) - at < _LENGTH + size:
                break
            with memoryview(buffer) as view:
                frame = bytes(view[at + _LENGTH : at + _LENGTH + size])
            at += _LENGTH + size
            self._deliver(frame)
        if at and self._channel is not None and self.ended is None:
            del buffer[:at]
            self._channel.credit(at)

    def _deliver(self, frame: bytes) -> None:
        charge = len(frame) + EVENT_OVERHEAD
        self._unread += charge
        self._paused = self._unread >= MAX_UNREAD_BYTES
        self._queue.put(FrameReceived(self.peer, frame), charge, self)

    def _control(self, control: bytes) -> None:
        if control == _PING:
            if not self._ping_queued:
                self._ping_queued = True
                self._queue.put(None, 0, self)
        elif control == _PONG:
            self._pinged = None
            self._answered = trio.current_time()
            self._pong.set()
            self._pong = trio.Event()
        elif control == _ACCEPT and self.outbound:
            self.accepted.set()
        else:
            self.close("sent an unknown control word")

    # events.Source

    def taken(self, size: int) -> None:
        """The driver took an event of ours: read on once there is room."""
        self._unread -= size
        if self._paused and self._unread <= MAX_UNREAD_BYTES - RESUME_BYTES:
            self._paused = False
            self._parse()

    def answer_ping(self) -> None:
        """The driver took all that came before the ping."""
        self._ping_queued = False
        self._write(_PONG)

    # life and death

    def _ping(self) -> None:
        if self._pinged is None:
            self._pinged = trio.current_time()
            self._write(_PING)

    def check(self, now: float) -> None:
        """Ping a quiet peer, close a stuck one; called every few seconds with trio's time."""
        if self.ended is not None:
            return
        if self._pinged is None:
            if now - self._answered >= PING_AFTER:
                self._ping()
        elif now - max(self._pinged, self._progress) >= PATIENCE:
            self.close("did not read for too long")

    def close(self, reason: str) -> None:
        """End the link; once. What is queued is lost, and sync asks for it again."""
        if self.ended is not None:
            return
        self.ended = reason
        if self._channel is not None:
            self._channel.close()
        self._buffer.clear()
        self._lot.unpark_all()
        self._pong.set()
        self.over.set()
        self._closed(self, reason)
