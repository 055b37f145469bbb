"""One connection to the API over hypercorn: what it may do to the others, and how many there are at a time.

Where descriptors run short, whoever has been idle longest makes room: the journal, links and callers with a request come
first. Idle ones are closed after a while anyway (server.py).
"""

from __future__ import annotations

import resource
from typing import Final

import structlog
from hypercorn.events import Event, Updated
from hypercorn.trio.tcp_server import TCPServer

log = structlog.get_logger()

RESERVED: Final = 256  # descriptors of this process that are not for callers: journal, links, logs, what is imported late
FEWEST: Final = 16  # connections even where the process may have hardly any descriptors


def most() -> int:
    """How many connections there may be now: the process's limit can be changed from outside."""
    return max(FEWEST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED)


class Room:
    """The connections of this process, over all its sockets; of those without a request the longest idle first."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._idle: dict[Connection, None] = {}

    def enter(self, connection: Connection) -> Connection | None:
        """A new one. Returns the one that has to go for it, itself where all others have requests."""
        self._all.add(connection)
        self.rests(connection, idle=True)
        return next(iter(self._idle)) if len(self._all) > most() else None

    def rests(self, connection: Connection, *, idle: bool) -> None:
        """It has no request now, or has one again."""
        self._idle.pop(connection, None)
        if idle and connection in self._all:
            self._idle[connection] = None

    def leave(self, connection: Connection) -> None:
        """It has ended, or is about to."""
        self._all.discard(connection)
        self._idle.pop(connection, None)


ROOM: Final = Room()


class Connection(TCPServer):
    """One connection. What a caller's bytes make hypercorn raise ends that connection; stock, it ends the whole server.

    A caller that has closed is let go at once; stock, its descriptor is held until the idle time is over.
    """

    _all_read = False

    async def run(self) -> None:
        """Serve it to its end."""
        try:
            goes = ROOM.enter(self)
            if goes is not None:
                ROOM.leave(goes)
                await goes.stream.aclose()
            if goes is not self:
                await super().run()
        except* Exception as group:
            log.warning("a connection to the API ended badly", why=type(_leaf(group)).__name__)
        finally:
            ROOM.leave(self)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._all_read = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        """What the protocol sends, or says of itself."""
        if isinstance(event, Updated):
            ROOM.rests(self, idle=event.idle)
            if self._all_read:
                return
        await super().protocol_send(event)


def _leaf(group: BaseExceptionGroup[Exception]) -> BaseException:
    first = group.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first
