"""The bounded queue between links and the driver: holds events, makes peers wait; reading bytes is link.py's job."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

import trio

from medsync_protocol.ports import TransportEvent

MAX_UNREAD_BYTES: Final = 4 << 20  # per peer, not yet taken by the driver; beyond it the peer's window closes
RESUME_BYTES: Final = MAX_UNREAD_BYTES // 2  # read on only once this much room came back: not frame by frame
EVENT_OVERHEAD: Final = 256  # what an event costs besides its bytes: tiny frames must not be free


class Source(Protocol):
    """Whoever feeds the queue and must wait when the driver does not keep up."""

    def taken(self, size: int) -> None:
        """The driver took an event that was charged `size` bytes."""
        ...

    def answer_ping(self) -> None:
        """The driver got as far as the peer's ping: everything before it was taken."""
        ...


class EventQueue:
    """Events in order of arrival for one reader; see ports.EventStream."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[TransportEvent | None, int, Source | None]] = deque()
        self._lot = trio.lowlevel.ParkingLot()

    def put(self, event: TransportEvent | None, size: int = 0, source: Source | None = None) -> None:
        """Queue an event charged to its source; None stands for a ping, answered when the reader gets to it."""
        self._waiting.append((event, size, source))
        self._lot.unpark()

    def __len__(self) -> int:
        return len(self._waiting)

    def _take(self) -> TransportEvent | None:
        """The next event, or None if only pings waited."""
        while self._waiting:
            event, size, source = self._waiting.popleft()
            if source is not None:
                if event is None:
                    source.answer_ping()
                if size:
                    source.taken(size)
            if event is not None:
                return event
        return None

    async def receive(self) -> TransportEvent:
        """The next event, when there is one."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while (event := self._take()) is None:
            await self._lot.park()
        return event

    async def receive_batch(self) -> list[TransportEvent]:
        """All events that wait, at least one."""
        batch = [await self.receive()]
        for _ in range(len(self._waiting)):
            if (event := self._take()) is None:
                break
            batch.append(event)
        return batch

    async def __aiter__(self) -> AsyncIterator[TransportEvent]:
        while True:
            yield await self.receive()
