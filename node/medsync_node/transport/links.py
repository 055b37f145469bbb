"""At most one link per peer: which of two survives, and what the driver is told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from medsync_node.transport.events import EventQueue
from medsync_node.transport.link import Link
from medsync_protocol.ids import DeviceId
from medsync_protocol.ports import Connected, Disconnected

SIMULTANEOUS: Final = 5.0  # seconds: two links this close were dialled from both sides at once


def survives(own: DeviceId, old: Link, new: Link) -> bool:
    """Whether the new link replaces the old one; both sides reach the same answer.

    Dialled from both sides at once: the link that the smaller key dialled stays. Otherwise the newer stays: its
    dialler knows that the old one is dead before we do.
    """
    if old.outbound == new.outbound or new.since - old.since > SIMULTANEOUS:
        return True
    return new.outbound == (own < new.peer)


class LinkTable:
    """The links of one device."""

    def __init__(self, own: DeviceId, queue: EventQueue, changed: Callable[[DeviceId], None]) -> None:
        self._own = own
        self._queue = queue
        self._changed = changed
        self._links: dict[DeviceId, Link] = {}

    def get(self, peer: DeviceId) -> Link | None:
        """The peer's link, if there is one."""
        return self._links.get(peer)

    def peers(self) -> frozenset[DeviceId]:
        """Peers with a link."""
        return frozenset(self._links)

    def all(self) -> list[Link]:
        """Every link, as a list that survives changes."""
        return list(self._links.values())

    def offer(self, link: Link) -> bool:
        """Enter a link that came up; False, and it is closed, if another one for that peer stays."""
        old = self._links.get(link.peer)
        if old is not None and not survives(self._own, old, link):
            link.close("another link to this peer stays")
            return False
        if old is not None:
            old.close("replaced by another link")
        if link.ended is not None:
            return False
        self._links[link.peer] = link
        self._queue.put(Connected(link.peer, link.outbound))
        link.enter()
        self._changed(link.peer)
        return True

    def closed(self, link: Link, reason: str) -> None:
        """A link ended, for whatever reason; told once, and only for a link that was entered."""
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._queue.put(Disconnected(link.peer, reason))
            self._changed(link.peer)
