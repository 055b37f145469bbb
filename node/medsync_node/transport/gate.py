"""Who gets in: the gate after the handshake and before any stream, with three outcomes (LIBP2P, Permissioning).

It decides and keeps count of guests; what guests may ask is guests.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.transport.exceptions import SecurityUpgradeFailure

from medsync_node.transport.peer_ids import device_id
from medsync_protocol.ids import DeviceId, short
from medsync_protocol.ports import Standing

MAX_GUESTS: Final = 8  # connections of strangers at once, and so their memory and handshakes
GUEST_SECONDS: Final = 10.0  # a guest's whole visit, from handshake to answer


@dataclass(eq=False)
class Visit:
    """One guest's stay."""

    device: DeviceId
    streams: int = 0
    ended: trio.Event = field(default_factory=trio.Event)


class Gate:
    """Wraps one swarm's security upgrade."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.standing: Callable[[DeviceId], Standing] = lambda _: Standing.GUEST
        self.refused = 0
        self._nursery = nursery
        self._visits: dict[DeviceId, Visit] = {}
        self._asked: Counter[DeviceId] = Counter()

    def install(self, swarm: Swarm) -> None:
        """From now on every connection of the swarm passes here."""
        upgrade = swarm.upgrader.upgrade_security

        async def gated(raw_conn: Any, is_initiator: bool, peer_id: ID | None = None) -> Any:
            session = await upgrade(raw_conn, is_initiator, peer_id)
            remote = device_id(session.get_remote_peer())
            if not self._admit(remote, session, is_initiator):
                self.refused += 1
                await session.close()
                who = short(remote) if remote else "an unknown kind of key"
                raise SecurityUpgradeFailure(f"refused {who}")
            return session

        swarm.upgrader.upgrade_security = gated  # type: ignore[method-assign]

    def _admit(self, remote: DeviceId | None, session: Any, is_initiator: bool) -> bool:
        if remote is None:
            return False
        if is_initiator and self.is_asking(remote):
            return True
        standing = self.standing(remote)
        if standing is Standing.GUEST and not is_initiator:
            return self._begin_visit(remote, session)
        return standing is Standing.MEMBER

    def _begin_visit(self, guest: DeviceId, session: Any) -> bool:
        if guest in self._visits or len(self._visits) >= MAX_GUESTS:
            return False
        visit = Visit(guest)
        self._visits[guest] = visit
        self._nursery.start_soon(self._attend, visit, session)
        return True

    async def _attend(self, visit: Visit, session: Any) -> None:
        try:
            with trio.move_on_after(GUEST_SECONDS):
                await visit.ended.wait()
        finally:
            del self._visits[visit.device]
            with trio.CancelScope(shield=True):
                await session.close()

    def visit(self, device: DeviceId) -> Visit | None:
        """The guest's visit, while it lasts."""
        return self._visits.get(device)

    @property
    def guests(self) -> int:
        """Visits going on."""
        return len(self._visits)

    def is_asking(self, device: DeviceId) -> bool:
        """Whether a question to the device is under way."""
        return device in self._asked

    @contextmanager
    def asking(self, device: DeviceId) -> Iterator[None]:
        """Within this, our own dials to the device pass whatever its standing: we chose the address."""
        self._asked[device] += 1
        try:
            yield
        finally:
            self._asked[device] -= 1
            if not self._asked[device]:
                del self._asked[device]
