"""Yamux for py-libp2p 0.8.1 with a short path for plain data: fewer locks, tasks and encryptions per frame.

Plain DATA and WINDOW_UPDATE frames of known streams are handled here; everything else (SYN, ACK, FIN, RST, PING,
GO_AWAY) falls through to the stock class. Receive windows are enforced, which the stock class does not.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, Final, Protocol

import trio
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_WINDOW_UPDATE,
    Yamux,
    YamuxStream,
)

from medsync_node.transport.noise_wire import MAX_PLAINTEXT, NoiseWire

LINK_WINDOW: Final = 4 << 20  # what a peer may send on its link before we read: four chunks
CREDIT_BATCH: Final = 1 << 20  # window is given back in pieces this large: not a frame per read
MAX_STREAMS: Final = 32  # per connection, open at once: a link, gossip both ways, identify, questions
MAX_BUFFERED: Final = 4 << 20  # per connection, over all streams but the link: gossip and negotiation
WRITE_BATCH: Final = 4 * MAX_PLAINTEXT  # encrypted and written at once; then the other tasks get a turn
MAX_DATA: Final = MAX_PLAINTEXT - HEADER_SIZE  # a full DATA frame fills one Noise message exactly
MAX_CONTROL_BYTES: Final = 256 * 1024  # queued frames of the stock class before its writers wait

_HEADER: Final = struct.Struct("!BBHII")
_DISTURBING: Final = FLAG_FIN | FLAG_RST


class WindowExceeded(trio.BrokenResourceError):
    """The peer sent more than it may: its connection ends (the stock class treats this as a broken connection)."""


class Sink(Protocol):
    """What a channel feeds: link.Link."""

    def received(self, data: bytes) -> None: ...
    def written(self) -> None: ...
    def progressed(self) -> None: ...
    def eof(self, reason: str) -> None: ...


class StreamChannel:
    """A yamux stream taken over for a link; see link.Channel."""

    def __init__(self, muxer: LeanYamux, stream: YamuxStream, sink: Sink) -> None:
        self.stream = stream
        self.sink = sink
        self._muxer = muxer
        self._pending: deque[bytes | memoryview] = deque()
        self._size = 0
        self._owed = 0

    @property
    def unsent(self) -> int:
        """Bytes queued and not yet handed to the system."""
        return self._size

    def write(self, header: bytes, body: bytes) -> None:
        """Queue bytes and wake the connection's writer."""
        self._pending.append(header)
        if body:
            self._pending.append(body)
        self._size += len(header) + len(body)
        self._muxer.wake_writer()

    def credit(self, size: int) -> None:
        """Give window back, in batches."""
        self._owed += size
        if self._owed >= CREDIT_BATCH:
            owed, self._owed = self._owed, 0
            self.stream.recv_window += owed
            self._muxer.queue_control(_HEADER.pack(0, TYPE_WINDOW_UPDATE, 0, self.stream.stream_id, owed))

    def close(self) -> None:
        """End the whole connection: a link and its connection live and die together."""
        self._pending.clear()
        self._size = 0
        self._muxer.abort()

    def take(self, room: int) -> tuple[list[bytes | memoryview], int]:
        """DATA frames worth up to `room` bytes of data, as far as the window goes, and that number."""
        size = left = min(self._size, max(0, self.stream.send_window), room)
        parts: list[bytes | memoryview] = []
        while left > 0:
            length = min(left, MAX_DATA)
            parts.append(_HEADER.pack(0, TYPE_DATA, 0, self.stream.stream_id, length))
            left -= length
            while length:
                head = self._pending[0]
                part = head[:length]
                parts.append(part)
                length -= len(part)
                if len(part) == len(head):
                    self._pending.popleft()
                else:
                    self._pending[0] = memoryview(head)[len(part) :]
        self._size -= size
        self.stream.send_window -= size
        return parts, size


class LeanYamux(Yamux):
    """The stock muxer with its reading and writing replaced underneath; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire = NoiseWire(self.secured_conn)
        self.failure = ""
        self._channels: dict[int, StreamChannel] = {}
        self._control: list[bytes] = []
        self._control_size = 0
        self._wake = trio.Event()
        self._room = trio.lowlevel.ParkingLot()
        self.secured_conn: Any = _LeanReader(self)  # what the stock loop reads from

    # channels

    def adopt(self, stream: YamuxStream, sink: Sink) -> StreamChannel:
        """Take a negotiated stream over: its bytes go to `sink` from now on, those that already came first."""
        channel = StreamChannel(self, stream, sink)
        self._channels[stream.stream_id] = channel
        early = bytes(self.stream_buffers.get(stream.stream_id, b""))
        self.stream_buffers[stream.stream_id] = bytearray()
        grant = LINK_WINDOW - stream.recv_window - len(early)
        stream.recv_window += grant
        self.queue_control(_HEADER.pack(0, TYPE_WINDOW_UPDATE, 0, stream.stream_id, grant))
        if early:
            sink.received(early)
        return channel

    # writing

    def wake_writer(self) -> None:
        """There is something to write."""
        self._wake.set()

    def queue_control(self, frame: bytes) -> None:
        """Queue a finished yamux frame ahead of data."""
        self._control.append(frame)
        self._control_size += len(frame)
        self._wake.set()

    async def _write_frame(self, data: bytes) -> None:
        if self.event_shutting_down.is_set() and data[1] != 0x3:
            raise trio.BrokenResourceError("the connection is closing")
        self.queue_control(data)
        await trio.lowlevel.checkpoint()
        while self._control_size > MAX_CONTROL_BYTES and not self.event_shutting_down.is_set():
            await self._room.park()

    def _gather(self) -> bytes:
        parts: list[bytes | memoryview] = [*self._control]
        size = self._control_size
        self._control, self._control_size = [], 0
        for channel in self._channels.values():
            frames, taken = channel.take(WRITE_BATCH - size)
            parts += frames
            size += taken
            if size >= WRITE_BATCH:
                break
        return b"".join(parts)

    async def _write_loop(self) -> None:
        while True:
            plain = self._gather()
            if not plain:
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            await self.wire.write(plain)
            self._room.unpark_all()
            for channel in list(self._channels.values()):
                channel.sink.written()
            if len(plain) >= WRITE_BATCH:
                await trio.lowlevel.checkpoint()

    # reading

    async def _read_data_body(self, length: int) -> bytes:
        return await self.wire.take(length)

    async def next_header(self) -> bytes:
        """Handle plain frames until one comes that is the stock loop's: return its header."""
        while True:
            header = await self.wire.take(HEADER_SIZE)
            version, kind, flags, stream_id, length = _HEADER.unpack(header)
            if version != 0 or kind > TYPE_GO_AWAY:
                self._violation("speaks no yamux that we know")
            stream = self.streams.get(stream_id)
            if kind == TYPE_DATA:
                self._check_window(stream, stream_id, flags, length)
                if flags == 0 and stream is not None and length:
                    self._arrived(stream, await self.wire.take(length))
                    continue
            elif kind == TYPE_WINDOW_UPDATE and flags == 0 and stream is not None:
                stream.send_window += length
                if (channel := self._channels.get(stream_id)) is not None:
                    channel.sink.progressed()
                    self._wake.set()
                continue
            if flags & FLAG_SYN and len(self.streams) >= MAX_STREAMS:
                self._violation(f"opened more than {MAX_STREAMS} streams")
            if flags & _DISTURBING and (channel := self._channels.pop(stream_id, None)) is not None:
                channel.sink.eof("the peer closed the link")
            return header

    def _check_window(self, stream: YamuxStream | None, stream_id: int, flags: int, length: int) -> None:
        allowed = DEFAULT_WINDOW_SIZE if stream is None else stream.recv_window
        if length > allowed:
            self._violation(f"sent {length} bytes into a window of {allowed}")
        if stream_id not in self._channels:
            held = sum(map(len, self.stream_buffers.values()))
            if held + length > MAX_BUFFERED:
                self._violation(f"made us hold {held + length} bytes outside its link")

    def _violation(self, what: str) -> None:
        self.failure = f"the peer {what}"
        raise WindowExceeded(self.failure)

    def _arrived(self, stream: YamuxStream, data: bytes) -> None:
        stream.recv_window -= len(data)
        if (channel := self._channels.get(stream.stream_id)) is not None:
            channel.sink.received(data)
        elif stream.stream_id in self.stream_buffers:
            self.stream_buffers[stream.stream_id] += data
            self.stream_events[stream.stream_id].set()

    async def handle_incoming(self) -> None:
        """The stock loop, with our writer beside it and the links told at its end."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_until_broken)
                await super().handle_incoming()
                nursery.cancel_scope.cancel()
        finally:
            self.abort()

    async def _write_until_broken(self) -> None:
        try:
            await self._write_loop()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.abort()

    # ending

    def abort(self) -> None:
        """Close the socket now; readers, writers and links learn of it."""
        self.event_shutting_down.set()
        self.wire.abort()
        self._room.unpark_all()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.sink.eof(self.failure or "the connection closed")

    async def close(self, error_code: int = 0) -> None:
        """Close without the stock class's pauses; the peer sees the end of the stream."""
        self.abort()
        await self._cleanup_on_error()


class _LeanReader:
    """Stands where the stock loop expects its secured connection: reads headers, delegates the rest."""

    def __init__(self, muxer: LeanYamux) -> None:
        self._muxer = muxer
        self._session = muxer.wire.session

    async def read(self, n: int | None = None) -> bytes:
        return await self._muxer.next_header()

    async def write(self, data: bytes) -> None:
        self._muxer.queue_control(data)

    async def close(self) -> None:
        self._muxer.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def install() -> None:
    """Make libp2p use this muxer in this process: `muxer_opt` doesn't reach the class that MuxerMultistream builds."""
    setattr(muxer_multistream, "Yamux", LeanYamux)  # noqa: B010 - not a name that module exports


__all__ = ["CREDIT_BATCH", "LINK_WINDOW", "LeanYamux", "StreamChannel", "WindowExceeded", "install"]
