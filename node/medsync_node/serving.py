"""Sends held operations to peers that lack them: read in chunks, redacted for the peer, paced by its link (PROTOCOL §6)."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from medsync_node.store import Store
from medsync_protocol.effects import Serve
from medsync_protocol.engine import Engine
from medsync_protocol.frames import ops_frames
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Transport

CHUNK_BYTES: Final = 512 * 1024  # read at a time: a frame's worth, and half of it on the wire while the next is read
BACKLOG_BYTES: Final = 1 << 20  # queued on a link before the next chunk is read
INLINE_OPS: Final = 8  # fewer are read at once: a thread's hop costs more
MAX_QUEUED: Final = 100_000  # ranges waiting for one peer: chains times contexts; beyond it the peer asks again


class Server:
    """One queue of ranges per peer, served in order: a chain's genesis before what rests on it."""

    nursery: trio.Nursery

    def __init__(self, engine: Engine, store: Store, transport: Transport) -> None:
        self._engine, self._store, self._transport = engine, store, transport
        self._queues: dict[DeviceId, deque[Serve]] = {}

    def serve(self, range_: Serve) -> None:
        """Queue a range for its peer."""
        queue = self._queues.get(range_.peer)
        if queue is not None:
            if len(queue) < MAX_QUEUED:
                queue.append(range_)
            return
        self._queues[range_.peer] = deque([range_])
        self.nursery.start_soon(self._serve_peer, range_.peer)

    async def _serve_peer(self, peer: DeviceId) -> None:
        queue = self._queues[peer]
        try:
            while queue:
                await self._serve_range(queue.popleft())
        finally:
            del self._queues[peer]

    async def _serve_range(self, range_: Serve) -> None:
        seq = range_.first
        while seq < range_.end:
            if range_.peer not in self._transport.linked():
                return
            wires = await self._read(range_, seq)
            if not wires:
                return
            seq += len(wires)
            shown = self._engine.redacted(range_.context, range_.peer, wires)
            for frame in ops_frames(range_.context, shown):
                self._transport.send(range_.peer, frame)
            await self._transport.drained(range_.peer, BACKLOG_BYTES)

    async def _read(self, range_: Serve, seq: int) -> list[bytes]:
        reader = self._store.reader
        if range_.end - seq <= INLINE_OPS:
            await trio.lowlevel.checkpoint()
            return reader.read_ops(range_.context, range_.chain, seq, range_.end, CHUNK_BYTES)
        return await trio.to_thread.run_sync(
            reader.read_ops, range_.context, range_.chain, seq, range_.end, CHUNK_BYTES
        )
