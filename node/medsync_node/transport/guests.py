"""Questions of strangers and to strangers: one stream, one question, one answer, within bytes and seconds (LIBP2P)."""

from __future__ import annotations

from typing import Any, Final

import trio
from libp2p.network.stream.exceptions import StreamError

from medsync_node.transport.gate import GUEST_SECONDS
from medsync_node.transport.peer_ids import device_id
from medsync_protocol.ports import MAX_GUEST_FRAME, GuestHandler, Unreachable

MAX_ANSWERING: Final = 8  # questions before the handler at once, members' included
_LENGTH: Final = 4


class GuestDoor:
    """Answers the guest protocols of one host."""

    def __init__(self) -> None:
        self.handler: GuestHandler | None = None
        self._answering = 0

    async def handle(self, protocol: str, stream: Any) -> None:
        """One inbound stream of a guest protocol."""
        device = device_id(stream.muxed_conn.peer_id)
        handler = self.handler
        if device is None or handler is None or self._answering >= MAX_ANSWERING:
            await stream.reset()
            return
        self._answering += 1
        try:
            with trio.fail_after(GUEST_SECONDS):
                question = await read_frame(stream)
                answer = await handler(device, protocol, question)
                await write_frame(stream, answer)
                await _end(stream)
        finally:
            self._answering -= 1


async def put_question(stream: Any, frame: bytes) -> bytes:
    """Ask on a negotiated stream. Raises Unreachable when the stream ends without an answer."""
    try:
        await write_frame(stream, frame)
        answer = await read_frame(stream)
        await stream.close()
    except (StreamError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Unreachable("the door was closed without an answer") from error
    return answer


async def write_frame(stream: Any, frame: bytes) -> None:
    """Write length and frame. Raises ValueError over MAX_GUEST_FRAME."""
    if len(frame) > MAX_GUEST_FRAME:
        raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_GUEST_FRAME}")
    await stream.write(len(frame).to_bytes(_LENGTH, "big") + frame)


async def read_frame(stream: Any) -> bytes:
    """Read one frame. Raises libp2p's StreamError at the end of the stream or when it announces too much."""
    head = await _read(stream, _LENGTH)
    size = int.from_bytes(head, "big")
    if size > MAX_GUEST_FRAME:
        raise StreamError(f"announced {size} bytes; at most {MAX_GUEST_FRAME}")
    return await _read(stream, size)


async def _read(stream: Any, size: int) -> bytes:
    buffer = bytearray()
    while len(buffer) < size:
        data = await stream.read(size - len(buffer))
        if not data:
            raise StreamError("the stream ended early")
        buffer += data
    return bytes(buffer)


async def _end(stream: Any) -> None:
    """Close our half and wait for the other side to have read the answer: closing earlier could destroy it."""
    await stream.close()
    try:
        await stream.read(1)
    except StreamError:
        return
